"""Smaller pictures, each pixel the mean of what it covers.

That is what OpenCV's INTER_AREA does, but several times as fast where sizes are no multiples of each other.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

_SUMS = {"reassoc", "contract", "nsz"}


def shrink(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Average an image, uint8 [H, W, 3], down to [height, width, 3]; a side that grows is interpolated."""
    if not is_averaged(image, height, width):
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    shrunk: NDArray[np.uint8] = _shrink(np.ascontiguousarray(image), height, width)
    return shrunk


def shrink_planes(
    image: NDArray[np.uint8], height: int, width: int, table: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the values of :func:`shrink` stand for, channel by channel, in one pass.

    Args:
        image: uint8 [H, W, 3], larger than [height, width, 3].
        height: Rows of the result.
        width: Columns of the result.
        table: What each of the 256 values of each channel stands for, float32 [3, 256].

    Returns:
        float32 [1, 3, height, width].
    """
    planes: NDArray[np.float32] = _shrink_planes(np.ascontiguousarray(image), height, width, table)
    return planes


def is_averaged(image: NDArray[np.uint8], height: int, width: int) -> bool:
    """Whether pixels of the smaller picture cover parts of the image's, so that averages are ours to take."""
    rows, columns = image.shape[:2]
    is_multiple = rows % height == 0 and columns % width == 0
    return not is_multiple and height <= rows and width <= columns


@njit(cache=True, nogil=True)
def _covered(pixels, cells):  # type: ignore[no-untyped-def]
    """For each of ``pixels`` the first of the ``cells`` that it covers, how many, and the share of each."""
    scale = cells / pixels
    first = np.empty(pixels, np.int64)
    counts = np.empty(pixels, np.int64)
    shares = np.zeros((pixels, int(scale) + 3), np.float32)
    for pixel in range(pixels):
        begin, end = pixel * scale, min((pixel + 1) * scale, cells)
        first[pixel] = int(begin)
        counts[pixel] = min(int(np.ceil(end - 1e-6)), cells) - first[pixel]
        for cell in range(counts[pixel]):
            at = first[pixel] + cell
            shares[pixel, cell] = max(min(at + 1, end) - max(at, begin), 0.0) / (end - begin)
    return first, counts, shares


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _shrink(image, height, width):  # type: ignore[no-untyped-def]
    first_y, rows, share_y = _covered(height, image.shape[0])
    first_x, columns, share_x = _covered(width, image.shape[1])
    lines = image.reshape(image.shape[0], 3 * image.shape[1])
    shrunk = np.empty((height, width, 3), np.uint8)
    line = np.empty(lines.shape[1], np.float32)
    for y in range(height):
        _average_rows(lines[first_y[y] : first_y[y] + rows[y]], share_y[y], line)
        for x in range(width):
            red, green, blue = _average(line, first_x[x], columns[x], share_x[x])
            shrunk[y, x, 0], shrunk[y, x, 1], shrunk[y, x, 2] = red, green, blue
    return shrunk


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _shrink_planes(image, height, width, table):  # type: ignore[no-untyped-def]
    first_y, rows, share_y = _covered(height, image.shape[0])
    first_x, columns, share_x = _covered(width, image.shape[1])
    lines = image.reshape(image.shape[0], 3 * image.shape[1])
    planes = np.empty((1, 3, height, width), np.float32)
    line = np.empty(lines.shape[1], np.float32)
    for y in range(height):
        _average_rows(lines[first_y[y] : first_y[y] + rows[y]], share_y[y], line)
        for x in range(width):
            red, green, blue = _average(line, first_x[x], columns[x], share_x[x])
            planes[0, 0, y, x], planes[0, 1, y, x] = table[0, red], table[1, green]
            planes[0, 2, y, x] = table[2, blue]
    return planes


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _average_rows(lines, shares, line):  # type: ignore[no-untyped-def]
    for i in range(len(line)):
        line[i] = shares[0] * np.float32(lines[0, i])
    for row in range(1, len(lines)):
        share = shares[row]
        for i in range(len(line)):
            line[i] += share * np.float32(lines[row, i])


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _average(line, first, count, shares):  # type: ignore[no-untyped-def]
    red = green = blue = np.float32(0)
    at = np.uint64(3 * first)
    for column in range(count):
        share = shares[column]
        red += share * line[at]
        green += share * line[at + np.uint64(1)]
        blue += share * line[at + np.uint64(2)]
        at += np.uint64(3)
    return np.uint8(np.rint(red)), np.uint8(np.rint(green)), np.uint8(np.rint(blue))
