"""Pictures of a folder that something is learnt from: ranges for int8, or how peaks share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prm_export.errors import ExportError
from prm_runtime.sources.pictures import SUFFIXES, read_picture

FEWEST = 8


def pictures_of(folder: Path, count: int, called: str) -> list[NDArray[np.uint8]]:
    """Pictures spread evenly over a folder's names, RGB uint8 [H, W, 3] each.

    Args:
        folder: Where they are; folders in it are searched too.
        count: How many to take at most.
        called: How messages call the folder.

    Raises:
        ExportError: If it is no folder, or holds too few.
    """
    if not folder.is_dir():
        raise ExportError(f"{called}: no such folder; give one with pictures like those it will see")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < FEWEST:
        raise ExportError(
            f"{called}: {len(paths)} pictures are too few to learn from, give at least {FEWEST}, better 100"
        )
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [read_picture(paths[n]) for n in chosen]
