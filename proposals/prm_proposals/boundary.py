"""Boundary strength: how likely an object ends at each pixel, from colour alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_CHROMA_WEIGHT = 2.0  # chroma separates objects more reliably than lightness, which shading changes
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
    weighted = lab * np.array([1, _CHROMA_WEIGHT, _CHROMA_WEIGHT], np.float32)
    smooth = cv2.GaussianBlur(weighted, (0, 0), 1.0)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    gradient = np.sqrt(np.einsum("hwc,hwc->hw", dx, dx) + np.einsum("hwc,hwc->hw", dy, dy))
    mean = float(gradient.mean())
    if mean < 1e-6:  # a flat image: rounding noise is no boundary
        return np.zeros_like(gradient)
    strength = gradient / (cv2.GaussianBlur(gradient, (0, 0), _SURROUND_SIGMA) + 0.5 * mean)
    return np.asarray(strength / strength.mean(), dtype=np.float32)
