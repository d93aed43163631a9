"""From a frame to the network's input."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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
    shrinks = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def preprocess(frame: NDArray[np.uint8], settings: Preprocessing) -> NDArray[np.float32]:
    """Resize and normalise a frame.

    Args:
        frame: RGB, uint8 [H, W, 3].
        settings: Input size, mean and standard deviation in 0..255.

    Returns:
        float32 [1, 3, h, w], contiguous, with h and w from :func:`input_size`.
    """
    resized = resize(frame, *input_size(frame.shape[0], frame.shape[1], settings))
    mean, std = np.array(settings.mean, np.float32), np.array(settings.std, np.float32)
    normalised = (resized.astype(np.float32) - mean) / std
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])
