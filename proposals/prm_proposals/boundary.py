"""Boundary strength: how likely an object ends at each pixel, from colour alone."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

_CHROMA_WEIGHT = np.float32(
    2.0
)  # chroma separates objects more reliably than lightness, which shading changes
_SURROUND_SIGMA = 8.0


def lab_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIE Lab, float32 [h, w, 3] (L 0..100), of an RGB image, uint8 [h, w, 3]."""
    scaled = image.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float32)


def boundary_strength(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colour gradient relative to its surroundings, float32 [h, w], mean 1 (0 everywhere on a flat image).

    Dividing by the surroundings' strength keeps texture from drowning the outlines of plain objects.

    Args:
        lab: float32 [h, w, 3].
    """
    gradient = _gradient(cv2.GaussianBlur(lab, (0, 0), 1.0))
    mean = float(gradient.mean())
    if mean < 1e-6:  # a flat image: rounding noise is no boundary
        return np.zeros_like(gradient)
    strength = gradient / (cv2.GaussianBlur(gradient, (0, 0), _SURROUND_SIGMA) + 0.5 * mean)
    return np.asarray(strength / strength.mean(), dtype=np.float32)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _gradient(lab):  # type: ignore[no-untyped-def]
    """Length of the weighted colours' Sobel gradient (of step 1), float32 [h, w]; mirrored at the border."""
    height, width, _ = lab.shape
    lines = lab.reshape(height, 3 * width)
    values = 3 * width
    gradient = np.empty((height, width), np.float32)
    smooth = np.empty(values + 6, np.float32)
    change = np.empty(values + 6, np.float32)
    squared = np.empty(values, np.float32)
    mirror = min(3, values - 3)
    for y in range(height):
        above, line, below = (
            lines[abs(y - 1) % height],
            lines[y],
            lines[y + 1 if y + 1 < height else max(y - 1, 0)],
        )
        for i in range(values):
            smooth[i + 3] = above[i] + 2 * line[i] + below[i]
            change[i + 3] = below[i] - above[i]
        for c in range(3):
            smooth[c], change[c] = smooth[3 + mirror + c], change[3 + mirror + c]
            smooth[values + 3 + c] = smooth[values - mirror + c]
            change[values + 3 + c] = change[values - mirror + c]
        for i in range(values):
            across = smooth[i + 6] - smooth[i]
            down = change[i] + 2 * change[i + 3] + change[i + 6]
            squared[i] = across * across + down * down
        row = gradient[y]
        for x in range(width):
            chroma = _CHROMA_WEIGHT * _CHROMA_WEIGHT * (squared[3 * x + 1] + squared[3 * x + 2])
            row[x] = np.sqrt(squared[3 * x] + chroma) / np.float32(8)
    return gradient
