"""``prm-run recover``: finish the files of a run that was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prm_runtime.errors import PrmError
from prm_runtime.sinks.coco import ASSEMBLIES
from prm_runtime.sinks.journal import SUFFIX, finish, journal_path, read_header
from prm_runtime.sinks.open import load_mcap


def recover(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Journals (*.json.journal) of COCO files, or MCAP files."),
    ],
) -> None:
    """Finish the COCO and MCAP files of a run that was killed; every frame that was written is kept.

    Pictures, labels of YOLO and labelme, and JSON lines need no recovery.
    """
    for file in files:
        typer.echo(_recovered(file))


def _recovered(path: Path) -> str:
    if path.suffix == ".mcap":
        messages = load_mcap().recover_mcap(path)
        return f"{path}: {messages} messages"
    target = path.with_suffix("") if path.suffix == SUFFIX else path
    journal = journal_path(target)
    if not journal.is_file():
        raise PrmError(f"{path}: expected an MCAP file or a journal (*{SUFFIX}), found neither")
    header = read_header(journal)
    if not header:
        journal.unlink()
        return f"{target}: the run was killed before its first frame"
    if header.get("kind") not in ASSEMBLIES:
        raise PrmError(f"{journal} is no journal of prm-run; it begins with no known kind of results")
    frames = finish(target, ASSEMBLIES[header["kind"]])
    return f"{target}: {frames} frames"
