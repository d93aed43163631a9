"""From a frame to the network's input."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.shrink import is_averaged, shrink, shrink_planes
from prm_runtime.manifest import Preprocessing


def input_size(height: int, width: int, settings: Preprocessing) -> tuple[int, int]:
    """Height and width of the network's input for a frame.

    The long side becomes ``settings.size``, the aspect is kept, and each side is rounded to the nearest
    multiple of ``settings.multiple``, at least one, and brought into ``settings.profile``.

    Example:
        >>> input_size(360, 640, Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)))
        (256, 448)
    """
    scale = settings.size / max(height, width)

    def rounded(side: int) -> int:
        return max(1, int(side * scale / settings.multiple + 0.5)) * settings.multiple

    size, profile = (rounded(height), rounded(width)), settings.profile
    if profile is None:
        return size
    smallest, largest = profile.min, profile.max
    return min(max(size[0], smallest[0]), largest[0]), min(max(size[1], smallest[1]), largest[1])


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize an image uint8 [H, W, 3] to [height, width, 3], averaging where it shrinks."""
    if height * width < image.shape[0] * image.shape[1]:
        return shrink(image, height, width)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def preprocess(frame: NDArray[np.uint8], settings: Preprocessing) -> NDArray[np.float32]:
    """Resize and normalise a frame.

    Args:
        frame: RGB, uint8 [H, W, 3].
        settings: Input size, mean and standard deviation in 0..255.

    Returns:
        float32 [1, 3, h, w], contiguous, with h and w from :func:`input_size`.
    """
    height, width = input_size(frame.shape[0], frame.shape[1], settings)
    table = _normalised(settings.mean, settings.std)
    if is_averaged(frame, height, width):
        return shrink_planes(frame, height, width, table)
    planes: NDArray[np.float32] = _planes(resize(frame, height, width), table)
    return planes


@lru_cache(maxsize=8)
def _normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """What each of the 256 values of each channel becomes, float32 [3, 256]."""
    values = np.arange(256, dtype=np.float32)
    table = (values - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    table.flags.writeable = False
    return table


@njit(cache=True, nogil=True)
def _planes(image, table):  # type: ignore[no-untyped-def]
    height, width, channels = image.shape
    planes = np.empty((1, channels, height, width), np.float32)
    for y in range(height):
        for c in range(channels):
            values, row = table[c], planes[0, c, y]
            for x in range(width):
                row[x] = values[image[y, x, c]]
    return planes
