"""Maps of any resolution on the superpixel grid."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray


def resample_mass(prms: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Peak response maps on another grid with the same total mass.

    Args:
        prms: float32 [P, h2, w2], each >= 0.
        shape: The grid (h, w).

    Returns:
        float32 [P, h, w]; each map sums to what it summed to before.
    """
    height, width = shape
    result = np.zeros((len(prms), height, width), np.float32)
    method = cv2.INTER_AREA if prms.shape[1] > height else cv2.INTER_LINEAR
    for prm, out in zip(prms, result, strict=True):
        cv2.resize(prm, (width, height), dst=out, interpolation=method)
        total = float(out.sum(dtype=np.float64))
        if total > 0:
            out *= np.float32(float(prm.sum(dtype=np.float64)) / total)
    return result


def upsample(maps: NDArray[np.float32], shape: tuple[int, int], shift: float = 0.0) -> NDArray[np.float32]:
    """Bilinear maps on another grid.

    Args:
        maps: float32 [n, h', w'].
        shape: The grid (h, w).
        shift: Cells of ``maps`` by which everything moves down and right, to the nearest whole pixel of the
            grid; the border is repeated.

    Returns:
        float32 [n, h, w].
    """
    height, width = shape
    result = np.empty((len(maps), height, width), np.float32)
    for source, out in zip(maps, result, strict=True):
        cv2.resize(source, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
    if shift == 0:
        return result
    rows, columns = (
        np.clip(np.arange(side) - round(shift * side / cells), 0, side - 1)
        for side, cells in zip(shape, maps.shape[1:], strict=True)
    )
    return result[:, rows[:, None], columns]


def nearest(labels: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Labels int32 [h', w'] on another grid (h, w), each pixel with that of the nearest one."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * side // (2 * wanted)
        for wanted, side in zip(shape, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns])


def cell_centres(
    cells: NDArray[np.integer], grid: tuple[int, int], size: tuple[int, int], shift: float = 0.0
) -> NDArray[np.float64]:
    """Centres of a map's cells in pixels of the frame that the map covers.

    Args:
        cells: (row, col), int [n, 2].
        grid: Rows and columns of the map.
        size: (height, width) of the frame.
        shift: Cells by which the map is moved down and right, as in :func:`upsample`.

    Returns:
        (x, y), float64 [n, 2], inside the frame.

    Example:
        >>> cell_centres(np.array([[0, 1]]), (2, 4), (100, 200))
        array([[75., 25.]])
    """
    centres = (cells + (0.5 + shift)) * np.divide(size, grid)
    return np.asarray(np.clip(centres, 0, size)[:, ::-1], dtype=np.float64)


def superpixel_sums(maps: NDArray[np.float32], labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Sum of each map over each superpixel, float32 [n, K].

    Args:
        maps: [n, h, w] on the grid of ``labels``.
        labels: int32 [h, w], values 0..count-1.
        count: Number of superpixels, K.
    """
    sums: NDArray[np.float32] = _superpixel_sums(np.ascontiguousarray(maps, np.float32), labels, count)
    return sums


@njit(cache=True, nogil=True)
def _superpixel_sums(maps, labels, count):  # type: ignore[no-untyped-def]
    sums = np.zeros((len(maps), count))
    for n in range(len(maps)):
        into = sums[n]
        for y in range(labels.shape[0]):
            row, values = labels[y], maps[n, y]
            for x in range(len(row)):
                into[np.uint32(row[x])] += values[x]
    return sums.astype(np.float32)


@njit(cache=True, nogil=True)
def bilinear_taps(pixels, cells):  # type: ignore[no-untyped-def]
    """The first of the two cells that each pixel along one axis lies between, int64 [pixels], and the weights
    of both, float32 [pixels, 2]; ``cells`` is at least 2.
    """
    first = np.empty(pixels, np.int64)
    weights = np.empty((pixels, 2), np.float32)
    for pixel in range(pixels):
        position = min(max((pixel + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
        first[pixel] = min(int(position), cells - 2)
        weights[pixel, 1] = position - first[pixel]
        weights[pixel, 0] = np.float32(1) - weights[pixel, 1]
    return first, weights
