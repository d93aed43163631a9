"""Semantic segmentation: instances merged to one class per pixel, and the mean IoU over classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOID = 255


def merge_instances(
    masks: NDArray[np.bool_],
    scores: NDArray[np.floating],
    class_ids: NDArray[np.integer],
) -> NDArray[np.uint8]:
    """One class per pixel out of overlapping instances: the highest score wins.

    Args:
        masks: bool [n, H, W].
        scores: [n]; of equal scores the earlier instance wins.
        class_ids: [n], 0..C-1.

    Returns:
        uint8 [H, W]: 0 is background, 1 + class_id a class.
    """
    merged = np.zeros(masks.shape[1:], dtype=np.uint8)
    for instance in np.argsort(-scores, kind="stable")[::-1]:
        merged[masks[instance]] = 1 + class_ids[instance]
    return merged


class SemanticIoU:
    """Mean IoU over the classes and the background, from one confusion matrix over all pictures."""

    def __init__(self, num_classes: int) -> None:
        self._confusion = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)

    def update(self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Add one picture.

        Args:
            predicted: uint8 [H, W], 0 background, 1 + class_id.
            truth: The same, and 255 where a pixel does not count.
        """
        side = len(self._confusion)
        counted = truth != VOID
        pairs = truth[counted].astype(np.int64) * side + predicted[counted]
        self.add(np.bincount(pairs, minlength=side * side).reshape(side, side))

    def add(self, confusion: NDArray[np.int64]) -> None:
        """Add pixel counts by true class (rows) and predicted class (columns), int64 [1 + C, 1 + C]."""
        self._confusion += confusion

    def compute(self) -> NDArray[np.float64]:
        """IoU per class, [1 + C], background first; ``nan`` where neither truth nor prediction has any."""
        hits = np.diag(self._confusion).astype(np.float64)
        unions = self._confusion.sum(axis=0) + self._confusion.sum(axis=1) - hits
        iou = np.full(len(hits), np.nan)
        np.divide(hits, unions, out=iou, where=unions > 0)
        return iou
