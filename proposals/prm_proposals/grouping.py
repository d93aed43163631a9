"""Which peaks of one class lie on one object."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.settings import WalkSettings


def group_by_class(
    class_maps: NDArray[np.float32],
    peaks: NDArray[np.int64],
    responses: NDArray[np.float32],
    mass: NDArray[np.float32],
    settings: WalkSettings,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group peaks by object, class by class: those that reach ``group_ratio`` of the best of their class.

    Of negative responses only the best does. Peaks i and j of a class are joined (transitively) if
    ``peak_similarity · Σ_k √(R_ik R_jk) + saddle_ij / min(M_i, M_j) − distance_ij / peak_distance > 0``:
    their PRMs overlap, no valley lies between them, they are near.

    Args:
        class_maps: M, float32 [C, h, w].
        peaks: (class, row, col), int64 [P, 3].
        responses: M at the peaks, float32 [P].
        mass: PRM mass of each peak per superpixel, float32 [P, K], rows with sum 1.
        settings: Weights and ``group_ratio``.

    Returns:
        Group of each peak, -1 for none, int64 [P], and the class of each group, int64 [G], ascending.
    """
    group_of_peak, classes = _grouped_by_class(
        class_maps,
        np.ascontiguousarray(peaks, np.int64),
        responses,
        mass,
        np.float32(settings.group_ratio),
        np.float32(settings.peak_similarity),
        np.float32(settings.peak_distance),
    )
    return group_of_peak, classes


@njit(cache=True, nogil=True)
def _grouped_by_class(  # type: ignore[no-untyped-def]
    class_maps, peaks, responses, mass, ratio, similarity, reach
):
    group_of_peak = np.full(len(peaks), -1, np.int64)
    class_of_group = np.empty(len(peaks), np.int64)
    count = 0
    for c in range(len(class_maps)):
        best = np.float32(-np.inf)
        for peak in range(len(peaks)):
            if peaks[peak, 0] == c:
                best = max(best, responses[peak])
        least = min(best, ratio * best)
        own = np.flatnonzero((peaks[:, 0] == c) & (responses >= least))
        if len(own) == 0:
            continue
        groups = _grouped(class_maps[c], peaks[own, 1:], responses[own], mass[own], similarity, reach)
        for n in range(len(own)):
            group_of_peak[own[n]] = count + groups[n]
        found = groups.max() + 1
        class_of_group[count : count + found] = c
        count += found
    return group_of_peak, class_of_group[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _grouped(class_map, positions, responses, mass, similarity, reach):  # type: ignore[no-untyped-def]
    count = len(positions)
    saddle = saddles(class_map, positions)
    root = np.sqrt(mass)
    together = np.empty((count, count), np.bool_)
    for i in range(count):
        for j in range(count):
            overlap = np.float32(0)
            for k in range(root.shape[1]):
                overlap += root[i, k] * root[j, k]
            down, right = positions[i, 0] - positions[j, 0], positions[i, 1] - positions[j, 1]
            distance = np.sqrt(np.float32(down * down + right * right))
            height = saddle[i, j] / min(responses[i], responses[j])
            together[i, j] = similarity * overlap + height - distance / reach > 0
    return _components(together)


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


@njit(cache=True, nogil=True)
def saddles(class_map, positions):  # type: ignore[no-untyped-def]
    """Height of the pass between any two peaks: the highest lowest response on an 8-connected path.

    The map is flooded from the top: two peaks' saddle is the level at which their basins first touch.

    Args:
        class_map: M_c, float32 [h, w].
        positions: (row, col) of the peaks, int64 [P, 2].

    Returns:
        float32 [P, P]; the diagonal holds the peaks' own responses.
    """
    height, width = class_map.shape
    order = np.argsort(-class_map.ravel(), kind="mergesort")
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
