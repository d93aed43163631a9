"""What is found of objects by their size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.methods import Method
from prm_evaluation.metrics import mask_iou
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.picture import MeasuredPicture
from prm_evaluation.tables.rows import NONE, Row, Table

_LEAST_SHARES = (0.01, 0.05, 0.15, 0.4)
SIZE_NAMES = ("area < 1 %", "area 1-5 %", "area 5-15 %", "area 15-40 %", "area > 40 %")


def size_bins(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Position in ``SIZE_NAMES`` of objects with these shares of their picture's area, [G] of [G].

    Example:
        >>> size_bins(np.array([0.004, 0.05, 0.9]))
        array([0, 2, 4])
    """
    return np.searchsorted(np.array(_LEAST_SHARES), shares, side="right")


class SizeTally:
    """Best overlap of every object with a prediction of its class, by size, for one retrieval method."""

    def __init__(self) -> None:
        self._overlaps: list[list[float]] = [[] for _ in SIZE_NAMES]

    def update(self, picture: MeasuredPicture, method: Method) -> None:
        """Add one picture."""
        found, truth = picture.found[method], picture.truth
        same_class = found.class_ids[:, None] == truth.class_ids[None, :]
        best = np.where(same_class, mask_iou(found.masks, truth.masks), 0).max(axis=0, initial=0)
        for overlap, size in zip(best, size_bins(truth.shares), strict=True):
            self._overlaps[size].append(float(overlap))

    def compute(self) -> list[tuple[int, float, float]]:
        """For each size: how many objects; in percent, their mean best overlap and how many reach 0.5."""
        return [_summary(np.array(overlaps)) for overlaps in self._overlaps]


def _summary(overlaps: NDArray[np.float64]) -> tuple[int, float, float]:
    if len(overlaps) == 0:
        return 0, NONE, NONE
    return len(overlaps), 100 * float(overlaps.mean()), 100 * float((overlaps >= 0.5).mean())


def size_table(measured: Sequence[Measured]) -> Table:
    """Rows by size, for each bundle and method."""
    rows = [
        Row(f"{bundle.name}, {method}: {size}", (count, overlap, recall))
        for bundle in measured
        for method, tally in bundle.tallies.sizes.items()
        for size, (count, overlap, recall) in zip(SIZE_NAMES, tally.compute(), strict=True)
    ]
    return Table(
        key="sizes",
        title="Instances by size",
        columns=("objects", "ABO over objects", "recall at 0.5"),
        rows=tuple(rows),
        protocol="Area of the object as a share of the picture. For each object the best IoU of any "
        "prediction of its class: its mean, and how often it is at least 0.5. False positives do "
        "not count here.",
    )
