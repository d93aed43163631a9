"""Frames on a small grid, on which they are compared and motion is estimated."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LONG_SIDE = 320


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame, RGB uint8 [H, W, 3], in grey with a long side of 320 pixels at most, uint8 [h, w]."""
    height, width = image.shape[:2]
    zoom = min(1.0, LONG_SIDE / max(height, width))
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def pixel_grid(height: int, width: int) -> NDArray[np.float32]:
    """The position (x, y) of each pixel, float32 [height, width, 2]."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
