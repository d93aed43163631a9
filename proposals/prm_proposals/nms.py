"""Non-maximum suppression of masks (Algorithm 1)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def mask_nms(
    members: NDArray[np.bool_],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    sizes: NDArray[np.float32],
    iou: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep the best of all masks of one class that overlap by more than ``iou``.

    Args:
        members: Masks as unions of superpixels, bool [n, K].
        scores: float32 [n]; ties go to the earlier mask.
        class_ids: Masks of different classes never suppress each other, int64 [n].
        sizes: Pixels of each superpixel, float32 [K].
        iou: Overlap, intersection over union in pixels, beyond which the lesser mask goes.

    Returns:
        ``(kept, winner)``: indices of the kept masks, best first, int64 [m]; and for each mask the position
        in ``kept`` of itself or of the mask that suppressed it, int64 [n].
    """
    order = np.argsort(-scores, kind="stable")
    weights = members.astype(np.float32)
    intersection = (weights * sizes) @ weights.T
    areas = np.diagonal(intersection)
    overlap = intersection / np.maximum(areas[:, None] + areas[None, :] - intersection, 1)
    duplicate = (overlap > iou) & (class_ids[:, None] == class_ids[None, :])
    kept, winner = _keep(order, duplicate)
    return kept, winner


@njit(cache=True, nogil=True)
def _keep(order, duplicate):  # type: ignore[no-untyped-def]
    winner = np.full(len(order), -1, np.int64)
    kept = np.empty(len(order), np.int64)
    count = 0
    for candidate in order:
        if winner[candidate] >= 0:
            continue
        for other in range(len(order)):
            if winner[other] < 0 and duplicate[candidate, other]:
                winner[other] = count
        winner[candidate] = count
        kept[count] = candidate
        count += 1
    return kept[:count], winner
