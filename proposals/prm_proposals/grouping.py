"""Which peaks of one class lie on one object."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.settings import WalkSettings


def group_peaks(
    class_map: NDArray[np.float32],
    positions: NDArray[np.int64],
    responses: NDArray[np.float32],
    mass: NDArray[np.float32],
    settings: WalkSettings,
) -> NDArray[np.int64]:
    """Group the peaks of one class by object.

    Peaks i and j are joined (transitively) if ``peak_similarity · Σ_k √(R_ik R_jk)
    + saddle_ij / min(M_i, M_j) − distance_ij / peak_distance > 0``: their PRMs overlap, no valley lies
    between them, they are near.

    Args:
        class_map: M_c, float32 [h, w].
        positions: (row, col) of the peaks in class-map cells, int [P, 2].
        responses: M_c at the peaks, float32 [P], all > 0.
        mass: PRM mass of each peak per superpixel, float32 [P, K], rows with sum 1.
        settings: Weights.

    Returns:
        Group of each peak, 0..G-1 in order of first appearance, int64 [P].
    """
    root = np.sqrt(mass)
    overlap = root @ root.T
    saddle = saddles(class_map, positions) / np.minimum(responses[:, None], responses[None, :])
    offset = (positions[:, None] - positions[None, :]).astype(np.float32)
    distance = np.sqrt((offset**2).sum(axis=-1))
    together = settings.peak_similarity * overlap + saddle - distance / settings.peak_distance > 0
    groups: NDArray[np.int64] = _components(together)
    return groups


@njit(cache=True, nogil=True)
def _components(together):  # type: ignore[no-untyped-def]
    """What is joined directly or through others, in order of first appearance."""
    count = len(together)
    groups = np.full(count, -1, np.int64)
    waiting = np.empty(count, np.int64)
    found = 0
    for first in range(count):
        if groups[first] >= 0:
            continue
        groups[first] = found
        waiting[0] = first
        left = 1
        while left > 0:
            left -= 1
            peak = waiting[left]
            for other in range(count):
                if groups[other] < 0 and together[peak, other]:
                    groups[other] = found
                    waiting[left] = other
                    left += 1
        found += 1
    return groups


def saddles(class_map: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Height of the pass between any two peaks: the highest lowest response on an 8-connected path.

    Args:
        class_map: M_c, float32 [h, w].
        positions: (row, col) of the peaks, int [P, 2].

    Returns:
        float32 [P, P]; the diagonal holds the peaks' own responses.
    """
    order = np.argsort(-class_map, axis=None, kind="stable")
    result: NDArray[np.float32] = _saddles(class_map.astype(np.float32), order, positions.astype(np.int64))
    return result


@njit(cache=True, nogil=True)
def _saddles(class_map, order, positions):  # type: ignore[no-untyped-def]
    """Flood from the top: two peaks' saddle is the level at which their basins first touch."""
    height, width = class_map.shape
    count = len(positions)
    result = np.empty((count, count), np.float32)
    basin = np.full(height * width, -1, np.int32)
    basin_of_peak = np.full(count, -1, np.int32)
    for cell in order:
        y, x = cell // width, cell % width
        basin[cell] = cell
        for peak in range(count):
            if positions[peak, 0] == y and positions[peak, 1] == x:
                basin_of_peak[peak] = cell
        for v in range(max(y - 1, 0), min(y + 2, height)):
            for u in range(max(x - 1, 0), min(x + 2, width)):
                other = basin[v * width + u]
                if other < 0 or other == cell:
                    continue
                for p in range(count):
                    for q in range(count):
                        if basin_of_peak[p] == other and basin_of_peak[q] == cell:
                            result[p, q] = result[q, p] = class_map[y, x]
                for k in range(height * width):
                    if basin[k] == other:
                        basin[k] = cell
                for peak in range(count):
                    if basin_of_peak[peak] == other:
                        basin_of_peak[peak] = cell
    for peak in range(count):
        result[peak, peak] = class_map[positions[peak, 0], positions[peak, 1]]
    return result
