"""Contours of all proposals at once.

A pixel belongs to the contour of S iff the morphological gradient of S is 1 there: the square window around
it (clipped at the picture's edge) holds a pixel of S and a pixel outside. For a union of superpixels that
depends on one thing only: the set of superpixels that the window touches. So pixels are grouped by that set,
and the contour of S is the union of the groups whose set lies neither inside nor outside S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True)
class ContourGroups:
    """Pixels that see several superpixels, grouped by which.

    Attributes:
        group: Group of each pixel, -1 where the window touches one superpixel only, int32 [h, w].
        starts: First entry of each group in ``touched``, int64 [G].
        touched: The superpixels of each group, group by group, int32 [Σ].
    """

    group: NDArray[np.int32]
    starts: NDArray[np.int64]
    touched: NDArray[np.int32]

    def crossed(self, members: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Which groups belong to the contour of each proposal: 0 or 1, float32 [G, N].

        Args:
            members: Proposals as unions of superpixels, bool [N, K].
        """
        if len(self.starts) == 0:
            return np.zeros((0, len(members)), np.float32)
        bits: NDArray[np.uint8] = np.packbits(members.T, axis=1)[self.touched]
        some = np.bitwise_or.reduceat(bits, self.starts, axis=0)
        every = np.bitwise_and.reduceat(bits, self.starts, axis=0)
        return np.unpackbits(np.bitwise_xor(some, every), axis=1, count=len(members)).astype(np.float32)

    def mass(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum of each map over each group, float32 [n, G], of maps [n, h, w]."""
        near = np.flatnonzero(self.group >= 0)
        names = self.group.ravel()[near]
        sums = np.empty((len(maps), len(self.starts)), np.float32)
        for source, out in zip(maps, sums, strict=True):
            out[:] = np.bincount(names, weights=source.ravel()[near], minlength=len(self.starts))
        return sums


def contour_groups(labels: NDArray[np.int32], width: int) -> ContourGroups:
    """Group the pixels near borders by the superpixels within their window.

    Args:
        labels: Superpixels, int32 [h, w].
        width: Side of the window in pixels; odd.

    Raises:
        ValueError: If ``width`` is not odd and at least 3.
    """
    if width < 3 or width % 2 == 0:
        raise ValueError(f"contour width must be odd and at least 3, got {width}")
    return ContourGroups(*_group(labels, width // 2))


@njit(cache=True, nogil=True)
def _group(labels, radius):  # type: ignore[no-untyped-def]
    """Group pixels by the sorted set of labels in their window, through a hash table with open addressing."""
    height, width = labels.shape
    group = np.full((height, width), -1, np.int32)
    slots = 16
    while slots < 2 * height * width:
        slots *= 2
    table = np.full(slots, -1, np.int32)
    starts = np.empty(height * width, np.int64)
    ends = np.empty(height * width, np.int64)
    touched = np.empty(1024, np.int32)
    groups = 0
    used = 0
    seen = np.empty((2 * radius + 1) ** 2, np.int32)
    for y in range(height):
        top, bottom = max(y - radius, 0), min(y + radius + 1, height)
        for x in range(width):
            left, right = max(x - radius, 0), min(x + radius + 1, width)
            seen[0] = labels[y, x]
            count = 1
            for v in range(top, bottom):
                last = seen[0]
                for u in range(left, right):
                    label = labels[v, u]
                    if label == last:
                        continue
                    last = label
                    at = 0
                    while at < count and seen[at] < label:
                        at += 1
                    if at == count or seen[at] != label:
                        for k in range(count, at, -1):
                            seen[k] = seen[k - 1]
                        seen[at] = label
                        count += 1
            if count == 1:
                continue
            slot = np.int64(count)
            for k in range(count):
                slot = (slot * 1000003 + seen[k]) & (slots - 1)
            while True:
                known = table[slot]
                if known < 0:
                    break
                same = ends[known] - starts[known] == count
                k = 0
                while same and k < count:
                    same = touched[starts[known] + k] == seen[k]
                    k += 1
                if same:
                    break
                slot = (slot + 1) & (slots - 1)
            if known < 0:
                if used + count > touched.size:
                    larger = np.empty(2 * touched.size + count, np.int32)
                    larger[:used] = touched[:used]
                    touched = larger
                known = groups
                table[slot] = known
                starts[known] = used
                touched[used : used + count] = seen[:count]
                used += count
                ends[known] = used
                groups += 1
            group[y, x] = known
    return group, starts[:groups], touched[:used]
