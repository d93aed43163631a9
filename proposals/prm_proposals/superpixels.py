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
def _differences(line, other, shift, weights):  # type: ignore[no-untyped-def]
    """Weights between the pixels of a line and those of another, ``shift`` values further on."""
    for x in range(len(weights)):
        red = np.int32(line[3 * x]) - np.int32(other[3 * x + shift])
        green = np.int32(line[3 * x + 1]) - np.int32(other[3 * x + 1 + shift])
        blue = np.int32(line[3 * x + 2]) - np.int32(other[3 * x + 2 + shift])
        squared = red * red + green * green + blue * blue
        weights[x] = np.int32(np.float32(2) * np.sqrt(np.float32(squared)))


@njit(cache=True, nogil=True)
def _sorted_edges(image):  # type: ignore[no-untyped-def]
    """Edges in order of weight: edge 2p joins pixel p to its right neighbour, 2p + 1 to the one below."""
    height, width, _ = image.shape
    lines = image.reshape(height, 3 * width)
    weights = np.full((height, width, 2), -1, np.int16)
    start = np.zeros(_MAX_WEIGHT + 2, np.int32)
    right = np.empty(width - 1, np.int32)
    below = np.empty(width, np.int32)
    for y in range(height):
        _differences(lines[y], lines[y], 3, right)
        for x in range(width - 1):
            weights[y, x, 0] = right[x]
            start[np.uint32(right[x] + 1)] += 1
        if y + 1 < height:
            _differences(lines[y], lines[y + 1], 0, below)
            for x in range(width):
                weights[y, x, 1] = below[x]
                start[np.uint32(below[x] + 1)] += 1
    for weight in range(_MAX_WEIGHT + 1):
        start[weight + 1] += start[weight]
    order = np.empty(start[_MAX_WEIGHT + 1], np.uint32)
    by_edge = weights.ravel()
    for edge in range(by_edge.size):
        if by_edge[edge] >= 0:
            bucket = np.uint16(by_edge[edge])
            order[start[bucket]] = edge
            start[bucket] += 1
    return order, by_edge


@njit(cache=True, nogil=True)
def _segment(image, scale, min_size):  # type: ignore[no-untyped-def]
    height, width, _ = image.shape
    order, weights = _sorted_edges(image)
    count = height * width
    # Unsigned indices cannot count from the end, so that numba looks up without a check.
    parent = np.arange(count).astype(np.uint32)
    size = np.ones(count, np.int32)
    threshold = np.full(count, np.float32(scale))  # Int(C) + k / |C|
    one, down = np.uint32(1), np.uint32(width)
    refused = 0
    for edge in order:
        p = edge >> one
        a, b = _find(parent, p), _find(parent, p + (down if edge & one else one))
        if a == b:
            continue
        weight = np.float32(weights[edge])
        if weight <= threshold[a] and weight <= threshold[b]:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            threshold[a] = weight + np.float32(scale) / size[a]
        else:
            order[refused] = edge
            refused += 1
    for edge in order[:refused]:
        p = edge >> one
        a, b = _find(parent, p), _find(parent, p + (down if edge & one else one))
        if a != b and (size[a] < min_size or size[b] < min_size):
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
    names = np.full(count, -1, np.int32)
    labels = np.empty(count, np.int32)
    regions = 0
    for p in range(count):
        root = _find(parent, np.uint32(p))
        if names[root] < 0:
            names[root] = regions
            regions += 1
        labels[p] = names[root]
    return labels.reshape(height, width)
