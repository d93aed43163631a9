"""From a decoded picture to a network's input: augmented for training, as it is for validation.

A picture is stretched to the square, never padded: the peaks of a class map are everywhere, so padding would
hold some of them, and Eq. 2 would train the network on what it answers to nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def augment(
    image: Picture, rng: np.random.Generator, *, size: int, least_crop: float, jitter: float
) -> Picture:
    """Crop, flip and change the colours of a picture at random.

    Args:
        image: RGB, uint8 [H, W, 3].
        rng: The only source of randomness.
        size: Side of the square output in pixels.
        least_crop: A random share of both sides, at least this, is kept.
        jitter: Brightness, contrast and saturation are each multiplied by 1 ± at most this.

    Returns:
        RGB, uint8 [size, size, 3].
    """
    image = _crop(image, rng.uniform(least_crop, 1), rng.random(2))
    image = _jitter(stretch(image, size=size), 1 + jitter * rng.uniform(-1, 1, 3))
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image


def stretch(image: Picture, _rng: object = None, *, size: int) -> Picture:
    """Resize a picture uint8 [H, W, 3] to a square, whatever its aspect: uint8 [size, size, 3].

    Nothing is random; the second argument is there for whoever calls this in place of ``augment``.
    """
    shrinks = image.shape[0] * image.shape[1] > size * size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=interpolation), np.uint8)


def _crop(image: Picture, share: float, at: NDArray[np.float64]) -> Picture:
    """Keep a share of each side; ``at`` says how much of the rest lies above and left."""
    window = []
    for side, place in zip(image.shape[:2], at, strict=True):
        extent = max(1, round(side * share))
        start = round((side - extent) * place)
        window.append(slice(start, start + extent))
    return image[tuple(window)]


def _jitter(image: Picture, factors: NDArray[np.float64]) -> Picture:
    brightness, contrast, saturation = factors
    grey = cv2.transform(image, LUMA[None])
    saturated = cv2.addWeighted(image, saturation, cv2.merge([grey] * 3), 1 - saturation, 0)
    offset = (1 - contrast) * brightness * float(grey.mean())
    return np.asarray(cv2.addWeighted(saturated, brightness * contrast, saturated, 0, offset), np.uint8)
