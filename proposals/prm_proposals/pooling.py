"""Maps of a network on superpixels, without ever being resized to the superpixels' grid.

Interpolating a map to the grid and adding it up over a superpixel are both linear: what each cell of the map
counts in each superpixel depends on the superpixels and on the map's shape alone. These weights are found
once for all maps of one shape; they need only the picture, not the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.maps import bilinear_taps

_SUMS = {"reassoc", "contract", "nsz"}  # sums may be taken in any order, so that vector units can take them


class Pooling:
    """Sums and means of maps over superpixels. All maps cover the whole picture.

    Attributes:
        labels: Superpixels, int32 [h, w], values 0..K-1.
        boxes: Pixels of the grid that hold each superpixel: first row, last row + 1, first column,
            last column + 1; int32 [K, 4].
    """

    def __init__(self, labels: NDArray[np.int32], count: int) -> None:
        """Keep the superpixels ``labels``, of which there are ``count``."""
        self.labels = labels
        self.boxes: NDArray[np.int32] = _boxes(labels, count)
        self._weights: dict[tuple[int, int, int], _CellWeights] = {}

    def means(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of bilinearly interpolated feature maps over each superpixel, float32 [K, n].

        Only every second pixel of every second row is sampled, except in superpixels too thin to hold one.

        Args:
            features: float32 [n, h', w'].
        """
        maps = np.moveaxis(_two_cells(features), 0, -1)
        weights = self._weigh((maps.shape[0], maps.shape[1]), step=2)
        means: NDArray[np.float32] = _means(
            np.ascontiguousarray(maps, np.float32),
            weights.boxes,
            weights.starts,
            weights.weights,
            weights.samples,
        )
        return means

    def mass(self, prms: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mass of each peak response map in each superpixel, float32 [P, K]; rows sum to what the map does.

        Args:
            prms: float32 [P, h2, w2], each >= 0; interpolated bilinearly, averaged where they are larger than
                the grid.
        """
        height, width = self.labels.shape
        if prms.shape[1] > height:
            shrunk = [cv2.resize(prm, (width, height), interpolation=cv2.INTER_AREA) for prm in prms]
            maps = np.array(shrunk, np.float32).reshape(-1, height, width)
        else:
            maps = prms
        maps = np.ascontiguousarray(_two_cells(maps), np.float32)
        weights = self._weigh((maps.shape[1], maps.shape[2]), step=1)
        sums: NDArray[np.float32] = _sums(maps, weights.boxes, weights.starts, weights.weights)
        found = sums.sum(axis=1, dtype=np.float64)
        scale = prms.sum(axis=(1, 2), dtype=np.float64) / np.where(found > 0, found, 1)
        sums *= scale[:, None].astype(np.float32)
        return sums

    def prepare_mass(self, cells: tuple[int, int]) -> None:
        """Find what :meth:`mass` weighs maps of ``cells`` (rows, columns) with before they come."""
        rows, columns = self.labels.shape if cells[0] > self.labels.shape[0] else cells
        self._weigh((max(rows, 2), max(columns, 2)), step=1)

    def _weigh(self, cells: tuple[int, int], step: int) -> _CellWeights:
        key = (*cells, step)
        if key not in self._weights:
            self._weights[key] = _CellWeights(*_cell_weights(self.labels, self.boxes, *cells, step))
        return self._weights[key]


def pool_features(
    features: NDArray[np.float32], labels: NDArray[np.int32], count: int
) -> NDArray[np.float32]:
    """:meth:`Pooling.means` of feature maps, float32 [count, channels].

    Args:
        features: float32 [channels, h', w'], covering the whole picture.
        labels: int32 [h, w], values 0..count-1.
        count: Number of superpixels.
    """
    return Pooling(labels, count).means(features)


@dataclass(frozen=True)
class _CellWeights:
    """How much each cell of a map counts in each superpixel.

    Attributes:
        boxes: The cells that may count, bounded as in ``Pooling.boxes``, int32 [K, 4].
        starts: Where the weights of a superpixel's box begin, int64 [K].
        weights: Weights of the cells, row by row, box by box, float32 [Σ].
        samples: Sum of the weights of each superpixel, float32 [K].
    """

    boxes: NDArray[np.int32]
    starts: NDArray[np.int64]
    weights: NDArray[np.float32]
    samples: NDArray[np.float32]


def _two_cells(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps [n, h', w'] with at least two cells in each direction: one cell alone is the same twice."""
    for axis in (1, 2):
        if maps.shape[axis] == 1:
            maps = np.repeat(maps, 2, axis=axis)
    return maps


@njit(cache=True, nogil=True)
def _boxes(labels, count):  # type: ignore[no-untyped-def]
    height, width = labels.shape
    boxes = np.zeros((count, 4), np.int32)
    boxes[:, 2] = width
    for y in range(height):
        row = labels[y]
        x = 0
        while x < width:
            region, left = row[x], x
            while x < width and row[x] == region:
                x += 1
            box = boxes[region]
            if box[1] == 0:
                box[0] = y
            box[1] = y + 1
            box[2] = min(box[2], left)
            box[3] = max(box[3], x)
    return boxes


@njit(cache=True, nogil=True)
def _cell_weights(labels, boxes, rows, columns, step):  # type: ignore[no-untyped-def]
    height, width = labels.shape
    count = len(boxes)
    first_y, weight_y = bilinear_taps(height, rows)
    first_x, weight_x = bilinear_taps(width, columns)
    cells = np.zeros((count, 4), np.int32)
    starts = np.zeros(count, np.int64)
    origin = np.zeros(count, np.int64)  # where cell (0, 0) would be
    stride = np.zeros(count, np.int64)
    total = 0
    for region in range(count):
        top, bottom, left, right = boxes[region]
        starts[region] = total
        if bottom > 0:  # otherwise no pixel has that label
            cells[region, 0], cells[region, 1] = first_y[top], first_y[bottom - 1] + 2
            cells[region, 2], cells[region, 3] = first_x[left], first_x[right - 1] + 2
            stride[region] = cells[region, 3] - cells[region, 2]
            origin[region] = total - cells[region, 0] * stride[region] - cells[region, 2]
            total += (cells[region, 1] - cells[region, 0]) * stride[region]
    weights = np.zeros(total, np.float32)
    samples = np.zeros(count, np.float32)
    wanted = np.ones(count, np.bool_)
    while True:
        for y in range(0, height, step):
            row = labels[y]
            above, below = weight_y[y]
            for x in range(0, width, step):
                own = np.uint32(row[x])  # an unsigned index cannot count from the end: no check, no branch
                if not wanted[own]:
                    continue
                samples[own] += np.float32(1)
                left, right = weight_x[x]
                at = np.uint64(origin[own] + first_y[y] * stride[own] + first_x[x])
                weights[at] += above * left
                weights[at + np.uint64(1)] += above * right
                at += np.uint64(stride[own])
                weights[at] += below * left
                weights[at + np.uint64(1)] += below * right
        if step == 1:
            return cells, starts, weights, samples
        step = 1
        wanted[:] = samples == 0
        if not wanted.any():
            return cells, starts, weights, samples


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _sums(maps, boxes, starts, weights):  # type: ignore[no-untyped-def]
    sums = np.empty((len(maps), len(boxes)), np.float32)
    for n in range(len(maps)):
        for region in range(len(boxes)):
            top, bottom, left, right = boxes[region]
            at = starts[region]
            total = np.float32(0)
            for y in range(top, bottom):
                row = maps[n, y, left:right]
                own = weights[at : at + right - left]
                for x in range(len(row)):
                    total += own[x] * row[x]
                at += right - left
            sums[n, region] = total
    return sums


@njit(cache=True, nogil=True)
def _means(maps, boxes, starts, weights, samples):  # type: ignore[no-untyped-def]
    channels = np.uint64(maps.shape[2])
    values = maps.ravel()
    means = np.zeros((len(boxes), maps.shape[2]), np.float32)
    for region in range(len(boxes)):
        top, bottom, left, right = boxes[region]
        at = starts[region]
        into = means[region]
        for y in range(top, bottom):
            for x in range(left, right):
                weight = weights[at]
                at += 1
                if weight > 0:
                    cell = np.uint64((y * maps.shape[1] + x) * maps.shape[2])
                    for c in range(channels):
                        into[c] += weight * values[cell + c]
        into /= max(samples[region], np.float32(1))
    return means
