"""Where a bundle comes from."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prm_export.errors import ExportError
from prm_runtime.manifest import Provenance


def provenance(backbone: str, trained: Mapping[str, Any] | None = None) -> Provenance:
    """What is known about a network.

    Args:
        backbone: Name of its architecture, or of the file that it came in.
        trained: Data, recipe and metrics of its training, as far as recorded.

    Raises:
        ExportError: If the record is not what a manifest holds.
    """
    known = trained or {}
    try:
        return Provenance(
            prm_edge_version=version("prm-edge"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=git_commit(),
            backbone=backbone,
            data=known.get("data"),
            recipe=known.get("recipe"),
            metrics=known.get("metrics") or {},
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ExportError(
            f"the checkpoint's provenance is damaged at '{first['loc'][0]}': {first['msg']}"
        ) from None


def git_commit() -> str | None:
    """The commit that the exporting code is at, if it runs from a checkout of its own."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    toplevel, commit = done.stdout.splitlines()
    # an environment inside some other project's checkout has that project's commit
    return commit if Path(toplevel).resolve() == root else None
