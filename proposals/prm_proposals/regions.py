"""The region adjacency graph of a picture's superpixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.boundary import boundary_strength, lab_image
from prm_proposals.pooling import Pooling


@dataclass(frozen=True)
class RegionGraph:
    """Superpixels and the borders between them.

    Attributes:
        labels: Superpixel of each pixel of the grid, int32 [h, w], values 0..K-1.
        sizes: Pixels of each superpixel, float32 [K].
        edges: Neighbours (i, j) with i < j, sorted, int32 [E, 2].
        border: Length of each border in pairs of 4-neighbouring pixels, float32 [E].
        boundary: Mean boundary strength along each border (mean 1 over the picture), float32 [E].
        lab: Mean CIE Lab colour of each superpixel, float32 [K, 3].
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.float32]
    edges: NDArray[np.int32]
    border: NDArray[np.float32]
    boundary: NDArray[np.float32]
    lab: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of superpixels, K."""
        return len(self.sizes)

    @cached_property
    def pooling(self) -> Pooling:
        """Sums and means of maps over the superpixels."""
        return Pooling(self.labels, self.count)


def region_graph(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> RegionGraph:
    """Region adjacency graph of given superpixels, for example those of an imported gallery.

    Args:
        image: RGB, uint8 [H, W, 3]; it is resized to the grid of ``labels``.
        labels: int32 [h, w], values 0..K-1.
    """
    height, width = labels.shape
    if image.shape[:2] != labels.shape:
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    lab = lab_image(image)
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count).astype(np.float32)
    edges, border, boundary = _borders(labels, boundary_strength(lab), count)
    means = region_sums(lab, labels, count) / np.maximum(sizes, 1).astype(np.float32)[:, None]
    return RegionGraph(labels, sizes, edges, border, boundary / border, means)


@njit(cache=True, nogil=True)
def _region_sums(maps, labels, count):  # type: ignore[no-untyped-def]
    height, width, channels = maps.shape
    sums = np.zeros((count, channels), np.float32)
    for y in range(height):
        for x in range(width):
            region = labels[y, x]
            for c in range(channels):
                sums[region, c] += maps[y, x, c]
    return sums


def region_sums(maps: NDArray[np.float32], labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Sum over the pixels of each superpixel, float32 [count, channels], of maps float32 [h, w, channels]."""
    sums: NDArray[np.float32] = _region_sums(np.ascontiguousarray(maps, np.float32), labels, count)
    return sums


@njit(cache=True, nogil=True)
def _borders(labels, strength, count):  # type: ignore[no-untyped-def]
    """Edges in order, with their border length and summed strength.

    Pairs of pixels that cross a border are sorted by the lower superpixel; what each of these borders on is
    then added up in one pass.
    """
    starts, others, values = _crossings(labels, strength, count)
    edges = np.empty((len(others), 2), np.int32)
    border = np.zeros(len(others), np.float32)
    total = np.zeros(len(others), np.float32)
    edge_of = np.full(count, -1, np.int32)
    found = 0
    for i in range(count):
        first = found
        for n in range(starts[i], starts[i + 1]):
            j = others[n]
            if edge_of[j] < first:
                edge_of[j] = found
                edges[found, 0], edges[found, 1] = i, j
                found += 1
            border[edge_of[j]] += np.float32(1)
            total[edge_of[j]] += values[n]
        for n in range(first + 1, found):
            j, length, sum_ = edges[n, 1], border[n], total[n]
            at = n
            while at > first and edges[at - 1, 1] > j:
                edges[at, 1], border[at], total[at] = edges[at - 1, 1], border[at - 1], total[at - 1]
                at -= 1
            edges[at, 1], border[at], total[at] = j, length, sum_
    return edges[:found], border[:found], total[:found]


@njit(cache=True, nogil=True)
def _crossings(labels, strength, count):  # type: ignore[no-untyped-def]
    """Neighbouring pixels of two superpixels: the higher one and their strength, sorted by the lower."""
    height, width = labels.shape
    lower = np.empty(2 * labels.size, np.int32)
    higher = np.empty(2 * labels.size, np.int32)
    between = np.empty(2 * labels.size, np.float32)
    found = 0
    for y in range(height):
        row, own = labels[y], strength[y]
        below, under = labels[min(y + 1, height - 1)], strength[min(y + 1, height - 1)]
        for x in range(width):
            right = min(x + 1, width - 1)
            for other, value in ((row[right], own[right]), (below[x], under[x])):
                if row[x] != other:
                    lower[found], higher[found] = min(row[x], other), max(row[x], other)
                    between[found] = np.float32(0.5) * (own[x] + value)
                    found += 1
    starts = np.zeros(count + 1, np.int32)
    for n in range(found):
        starts[lower[n] + 1] += 1
    for i in range(count):
        starts[i + 1] += starts[i]
    used = starts[:-1].copy()
    others = np.empty(found, np.int32)
    values = np.empty(found, np.float32)
    for n in range(found):
        at = used[lower[n]]
        used[lower[n]] += 1
        others[at], values[at] = higher[n], between[n]
    return starts, others, values
