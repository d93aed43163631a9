"""Superpixels: graph-based segmentation of Felzenszwalb and Huttenlocher (IJCV 2004) with integer weights.

Integer edge weights allow a counting sort, which is faster than sorting floats.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

_MAX_WEIGHT = 883  # floor(2 * sqrt(3 * 255^2))


def superpixels(image: NDArray[np.uint8], scale: float = 150.0, min_size: int = 20) -> NDArray[np.int32]:
    """Segment an image into connected superpixels.

    Args:
        image: RGB, uint8 [h, w, 3].
        scale: k of the paper in units of the integer edge weights: larger means fewer superpixels.
        min_size: Smallest superpixel in pixels (of images that have so many).

    Returns:
        Labels 0..K-1 in order of first appearance, int32 [h, w].
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 0.6)
    labels: NDArray[np.int32] = _segment(np.ascontiguousarray(smooth), scale, min_size)
    return labels


@njit(cache=True, nogil=True)
def _find(parent, x):  # type: ignore[no-untyped-def]
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(cache=True, nogil=True)
def _sorted_edges(image):  # type: ignore[no-untyped-def]
    """Edges in order of weight: edge 2p joins pixel p to its right neighbour, 2p + 1 to the one below."""
    height, width, _ = image.shape
    weights = np.full(2 * height * width, -1, np.int16)
    start = np.zeros(_MAX_WEIGHT + 2, np.int32)
    for y in range(height):
        for x in range(width):
            for direction in range(2):
                y2, x2 = y + direction, x + 1 - direction
                if y2 < height and x2 < width:
                    total = np.int32(0)
                    for c in range(3):
                        difference = np.int32(image[y, x, c]) - np.int32(image[y2, x2, c])
                        total += difference * difference
                    weight = int(2 * np.sqrt(np.float32(total)))
                    weights[2 * (y * width + x) + direction] = weight
                    start[weight + 1] += 1
    for weight in range(_MAX_WEIGHT + 1):
        start[weight + 1] += start[weight]
    order = np.empty(start[_MAX_WEIGHT + 1], np.int32)
    for edge in range(weights.size):
        weight = weights[edge]
        if weight >= 0:
            order[start[weight]] = edge
            start[weight] += 1
    return order, weights


@njit(cache=True, nogil=True)
def _segment(image, scale, min_size):  # type: ignore[no-untyped-def]
    height, width, _ = image.shape
    order, weights = _sorted_edges(image)
    count = height * width
    parent = np.arange(count).astype(np.int32)
    size = np.ones(count, np.int32)
    threshold = np.full(count, np.float32(scale))  # Int(C) + k / |C|
    refused = np.empty(order.size, np.int32)
    for grow in (True, False):
        left = 0
        for edge in order:
            p = edge >> 1
            a = _find(parent, p)
            b = _find(parent, p + (width if edge & 1 else 1))
            if a == b:
                continue
            if grow:
                joins = weights[edge] <= threshold[a] and weights[edge] <= threshold[b]
            else:
                joins = size[a] < min_size or size[b] < min_size
            if joins:
                if size[a] < size[b]:
                    a, b = b, a
                parent[b] = a
                size[a] += size[b]
                threshold[a] = weights[edge] + np.float32(scale) / size[a]
            else:
                refused[left] = edge
                left += 1
        order = refused[:left]
    names = np.full(count, -1, np.int32)
    labels = np.empty((height, width), np.int32)
    regions = 0
    for p in range(count):
        root = _find(parent, p)
        if names[root] < 0:
            names[root] = regions
            regions += 1
        labels[p // width, p % width] = names[root]
    return labels
