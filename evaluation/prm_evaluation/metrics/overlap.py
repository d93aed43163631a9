"""How much masks overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou_from_counts(
    intersections: NDArray[np.float32], sizes: NDArray[np.float32], truth_sizes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Intersection over union out of pixel counts.

    Args:
        intersections: [n, g] pixels in common.
        sizes: [n] pixels of the predicted masks.
        truth_sizes: [g] pixels of the ground-truth masks.

    Returns:
        [n, g]; two empty masks overlap by 0.
    """
    unions = sizes[:, None] + truth_sizes[None, :] - intersections
    iou = np.zeros_like(intersections)
    np.divide(intersections, unions, out=iou, where=unions > 0)
    return iou


def mask_iou(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Intersection over union of every pair of masks.

    Args:
        masks: bool [n, H, W].
        truth: bool [g, H, W].

    Returns:
        float32 [n, g]; two empty masks overlap by 0.

    Raises:
        ValueError: If the masks differ in height or width.

    Example:
        >>> left = np.array([[[True, True, False]]])
        >>> right = np.array([[[False, True, True]]])
        >>> mask_iou(left, right).round(3)
        array([[0.333]], dtype=float32)
    """
    if masks.ndim != 3 or truth.ndim != 3 or masks.shape[1:] != truth.shape[1:]:
        raise ValueError(
            "expected two stacks of masks of one size, [n, H, W] and [g, H, W]; "
            f"found {masks.shape} and {truth.shape}"
        )
    pixels = masks.shape[1] * masks.shape[2]
    flat = masks.reshape(len(masks), pixels).astype(np.float32)
    truth_flat = truth.reshape(len(truth), pixels).astype(np.float32)
    return iou_from_counts(flat @ truth_flat.T, flat.sum(axis=1), truth_flat.sum(axis=1))
