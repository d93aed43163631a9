"""Frames as OpenCV shrinks them and numpy normalises them, one step after the other."""

from __future__ import annotations

import cv2
import numpy as np


def shrink(image, height: int, width: int):
    """uint8 [height, width, 3]."""
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def normalise(image, mean, std):
    """float32 [1, 3, h, w] of an image uint8 [h, w, 3]."""
    values = (image.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
    return values.transpose(2, 0, 1)[None]


def gradient(lab, chroma: float):
    """Length of the Sobel gradient of smoothed Lab colours, a and b weighted, float [h, w]."""
    weighted = lab.astype(np.float64) * (1, chroma, chroma)
    smooth = cv2.GaussianBlur(weighted, (0, 0), 1.0)
    across = cv2.Sobel(smooth, cv2.CV_64F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(smooth, cv2.CV_64F, 0, 1, scale=1 / 8)
    return np.sqrt((across**2 + down**2).sum(axis=-1))
