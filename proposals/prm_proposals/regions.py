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
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    means = region_sums(lab, labels, count) / np.maximum(sizes, 1).astype(np.float32)[:, None]
    return RegionGraph(labels, sizes, edges[order], border[order], (boundary / border)[order], means)


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
    """Edges with their border length and summed strength.

    Each region keeps a linked list of its borders to regions of a higher label; lists are short.
    """
    height, width = labels.shape
    head = np.full(count, -1, np.int32)
    capacity = 8 * count + 16
    following = np.empty(capacity, np.int32)
    edges = np.empty((capacity, 2), np.int32)
    border = np.zeros(capacity, np.float32)
    total = np.zeros(capacity, np.float32)
    used = 0
    for y in range(height):
        for x in range(width):
            for direction in range(2):
                y2, x2 = y + direction, x + 1 - direction
                if y2 >= height or x2 >= width or labels[y, x] == labels[y2, x2]:
                    continue
                i = min(labels[y, x], labels[y2, x2])
                j = max(labels[y, x], labels[y2, x2])
                slot = head[i]
                while slot >= 0 and edges[slot, 1] != j:
                    slot = following[slot]
                if slot < 0:
                    if used == capacity:
                        capacity *= 2
                        following = np.append(following, np.empty_like(following))
                        edges = np.append(edges, np.empty_like(edges)).reshape(-1, 2)
                        border = np.append(border, np.zeros_like(border))
                        total = np.append(total, np.zeros_like(total))
                    slot = used
                    used += 1
                    edges[slot, 0], edges[slot, 1] = i, j
                    following[slot] = head[i]
                    head[i] = slot
                border[slot] += 1
                total[slot] += 0.5 * (strength[y, x] + strength[y2, x2])
    return edges[:used], border[:used], total[:used]
