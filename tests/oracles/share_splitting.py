"""Share splitting as loops: what the peaks' joint walk leaves, dealt out cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tests.oracles.peak_backprop import Maps, Walker


def shared_maps(
    walker: Walker,
    peaks: Sequence[Sequence[int]],
    split: str,
    stop: str,
    spread: Callable[[Maps], Maps] = lambda P: P.sum(0),
) -> Maps:
    """Peak Response Maps [P, h, w]: ``PRM_n = fine · up(coarse_n) / Σ_m up(coarse_m)``, each of sum 1.

    Cells that no coarse map reaches are dealt out evenly.

    Args:
        walker: Peak back-propagation over the image.
        peaks: Class, row and column of each.
        split: Name of the value down to which each peak is walked alone.
        stop: Name of the value at which the maps are read.
        spread: What coarse maps [h, w] are made of probabilities [C, h, w] by.
    """
    apart = [walker.walk(*walker.seed(peak), split) for peak in peaks]
    apart = [P / P.sum() for P in apart]
    fine = walker.walk(split, np.sum(apart, axis=0), stop).sum(0)
    up = np.stack([enlarged(spread(P), fine.shape) for P in apart])
    prms = np.zeros_like(up)
    for n, row, column in np.ndindex(up.shape):
        total = up[:, row, column].sum()
        share = up[n, row, column] / total if total > 0 else 1 / len(up)
        prms[n, row, column] = fine[row, column] * share
    return prms / prms.sum((1, 2), keepdims=True)


def widened(coarse: Maps, spread: float) -> Maps:
    """A Gaussian of this standard deviation over every cell, which is of sum 1 on an endless map."""
    wide = np.zeros_like(coarse)
    far = range(-100, 101)
    whole = sum(np.exp(-(d**2) / (2 * spread**2)) for d in far) ** 2
    for to in np.ndindex(*coarse.shape):
        for cell in np.ndindex(*coarse.shape):
            squared = (to[0] - cell[0]) ** 2 + (to[1] - cell[1]) ** 2
            wide[to] += coarse[cell] * np.exp(-squared / (2 * spread**2)) / whole
    return wide


def by_groups(P: Maps, mix: Maps, kernels: Sequence[Maps]) -> Maps:
    """Probabilities [C, h, w] in groups of channels, mix [C, G], under kernels [G', G, k, k] in turn."""
    maps = np.stack(
        [sum(weight * of_channel for weight, of_channel in zip(column, P, strict=True)) for column in mix.T]
    )
    for kernel in kernels:
        reach = kernel.shape[2] // 2
        spread = np.zeros((len(kernel), *P.shape[1:]))
        for into, of, down, right in np.ndindex(*kernel.shape):
            for row, column in np.ndindex(*P.shape[1:]):
                y, x = row + down - reach, column + right - reach
                if 0 <= y < P.shape[1] and 0 <= x < P.shape[2]:
                    spread[into, row, column] += kernel[into, of, down, right] * maps[of, y, x]
        maps = spread
    return maps[0]


def enlarged(coarse: Maps, size: tuple[int, ...]) -> Maps:
    """Bilinear interpolation, pixel centres at half cells, the border's cells continued outwards."""
    height, width = coarse.shape
    fine = np.zeros(size)
    for row, column in np.ndindex(*size):
        y = min(max((row + 0.5) * height / size[0] - 0.5, 0), height - 1)
        x = min(max((column + 0.5) * width / size[1] - 0.5, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        upper = coarse[top, left] * (1 - x + left) + coarse[top, right] * (x - left)
        lower = coarse[bottom, left] * (1 - x + left) + coarse[bottom, right] * (x - left)
        fine[row, column] = upper * (1 - y + top) + lower * (y - top)
    return fine
