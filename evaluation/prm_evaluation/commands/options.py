"""Arguments and options that the commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from prm_runtime.backends import BACKENDS
from prm_runtime.console import PrmError

Bundle = Annotated[Path, typer.Argument(help="The bundle, a .prm file.", show_default=False)]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        help="VOC tree with SegmentationClass and SegmentationObject, or COCO folder with annotations/"
        "instances_<split>.json.",
        show_default=False,
    ),
]
Split = Annotated[
    str, typer.Option("--split", help="List in ImageSets/Segmentation, or a split of COCO such as val2017.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use the first N pictures only.", show_default=False)
]
CORES = os.cpu_count() or 1
Processes = Annotated[int, typer.Option("--processes", min=1, help="Worker processes.")]
Backend = Annotated[str, typer.Option("--backend", help=f"Inference engine: {', '.join(BACKENDS)}.")]
MasksNote = Annotated[
    str | None,
    typer.Option(
        "--masks-note",
        help="What to say about the ground truth beside every figure, e.g. 'derived instance masks'. "
        "Default: which files it was read from.",
        show_default=False,
    ),
]


def check_writable(*files: Path | None) -> None:
    """Refuse files that could not be written before hours are spent on what goes into them.

    Raises:
        PrmError: If the folder of one does not exist.
    """
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise PrmError(f"cannot write {file}: there is no folder {file.parent}; make it first")
