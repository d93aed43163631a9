"""Network feature maps pooled per superpixel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def pool_features(
    features: NDArray[np.float32], labels: NDArray[np.int32], count: int
) -> NDArray[np.float32]:
    """Mean over each superpixel of bilinearly interpolated feature maps, float32 [count, channels].

    Only every second pixel of every second row is sampled, except in superpixels too thin to hold one.

    Args:
        features: float32 [channels, h', w'], covering the whole picture.
        labels: int32 [h, w], values 0..count-1.
        count: Number of superpixels.
    """
    channels_last = np.ascontiguousarray(np.moveaxis(features, 0, -1), dtype=np.float32)
    pooled: NDArray[np.float32] = _pool(channels_last, labels, count)
    return pooled


@njit(cache=True, nogil=True)
def _taps(pixels, cells):  # type: ignore[no-untyped-def]
    """For each pixel along one axis: the two cells it lies between and the weight of the second."""
    low = np.empty(pixels, np.int32)
    high = np.empty(pixels, np.int32)
    weight = np.empty(pixels, np.float32)
    for i in range(pixels):
        position = min(max((i + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
        low[i] = int(position)
        high[i] = min(low[i] + 1, cells - 1)
        weight[i] = position - low[i]
    return low, high, weight


@njit(cache=True, nogil=True)
def _pool(features, labels, count):  # type: ignore[no-untyped-def]
    height, width = labels.shape
    cells_y, cells_x, channels = features.shape
    y0, y1, wy = _taps(height, cells_y)
    x0, x1, wx = _taps(width, cells_x)
    sums = np.zeros((count, channels), np.float32)
    samples = np.zeros(count, np.int32)
    unsampled = np.ones(count, np.bool_)
    for step in (2, 1):
        for y in range(0, height, step):
            for x in range(0, width, step):
                region = labels[y, x]
                if not unsampled[region]:
                    continue
                samples[region] += 1
                w11 = wy[y] * wx[x]
                w10 = wy[y] - w11
                w01 = wx[x] - w11
                w00 = np.float32(1) - wy[y] - w01
                f00, f01 = features[y0[y], x0[x]], features[y0[y], x1[x]]
                f10, f11 = features[y1[y], x0[x]], features[y1[y], x1[x]]
                into = sums[region]
                for c in range(channels):
                    into[c] += w00 * f00[c] + w01 * f01[c] + w10 * f10[c] + w11 * f11[c]
        for region in range(count):
            unsampled[region] = samples[region] == 0
        if not unsampled.any():
            break
    for region in range(count):
        sums[region] /= max(samples[region], 1)
    return sums
