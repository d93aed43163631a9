"""The folder of a run on Ray, which belongs to one model and one choice of settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from prm_runtime.errors import PrmError

SETTINGS = "_settings.json"  # readers of Parquet folders leave out names with an underscore


def claim_folder(folder: Path, settings: Mapping[str, object]) -> None:
    """Make the folder, or check that its results are of the same settings.

    Raises:
        PrmError: If they are of others, with the first that differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    text = json.dumps(settings, indent=1, default=str)
    if not path.exists():
        if any(folder.glob("*.parquet")):
            raise PrmError(f"{folder}: holds Parquet files of something else; choose another folder")
        path.write_text(text + "\n", encoding="utf-8")
        return
    try:
        before, now = json.loads(path.read_bytes()), json.loads(text)
    except ValueError as error:
        raise PrmError(f"{path}: is damaged ({error}); choose another folder") from None
    for name in now:
        if before.get(name) != now[name]:
            raise PrmError(
                f"{folder}: holds results with {name} {before.get(name)!r}, and {now[name]!r} was asked for; "
                "choose another folder"
            )
