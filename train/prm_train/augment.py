"""From a decoded picture to a network's input: augmented for training, letterboxed for validation."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_train.backbones.base import Rgb

Picture = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def augment(
    image: Picture,
    rng: np.random.Generator,
    *,
    size: int,
    scale: tuple[float, float],
    jitter: float,
    fill: Rgb,
) -> Picture:
    """Scale, crop or pad at random, flip and change the colours of a picture.

    Args:
        image: RGB, uint8 [H, W, 3].
        rng: The only source of randomness.
        size: Side of the square output in pixels.
        scale: The long side becomes ``size`` times a uniform random factor between these two.
        jitter: Brightness, contrast and saturation are each multiplied by 1 ± at most this.
        fill: Colour of the padding, RGB on 0..255.

    Returns:
        RGB, uint8 [size, size, 3].
    """
    image = resize_long_side(image, round(size * rng.uniform(*scale)))
    image = _jitter(image, 1 + jitter * rng.uniform(-1, 1, 3))
    image = _place(image, size, fill, rng.random(2))
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image


def letterbox(image: Picture, _rng: object = None, *, size: int, fill: Rgb) -> Picture:
    """Scale a picture's long side to ``size`` and centre it on a square: uint8 [size, size, 3].

    Nothing is random; the second argument is there for whoever calls this in place of ``augment``.
    """
    return _place(resize_long_side(image, size), size, fill, np.array([0.5, 0.5]))


def resize_long_side(image: Picture, long_side: int) -> Picture:
    """Scale a picture uint8 [H, W, 3], keeping its aspect."""
    h, w = image.shape[:2]
    factor = long_side / max(h, w)
    shape = max(1, round(w * factor)), max(1, round(h * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape, interpolation=interpolation), np.uint8)


def _place(image: Picture, size: int, fill: Rgb, at: NDArray[np.float64]) -> Picture:
    """Cut or pad to a square; ``at`` says which share of the surplus lies above and left."""
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = np.round(fill)
    source, target = [], []
    for side, share in zip(image.shape[:2], at, strict=True):
        extent = min(side, size)
        cut, pad = round((side - extent) * share), round((size - extent) * share)
        source.append(slice(cut, cut + extent))
        target.append(slice(pad, pad + extent))
    canvas[tuple(target)] = image[tuple(source)]
    return canvas


def _jitter(image: Picture, factors: NDArray[np.float64]) -> Picture:
    brightness, contrast, saturation = factors
    grey = cv2.transform(image, LUMA[None])
    saturated = cv2.addWeighted(image, saturation, cv2.merge([grey] * 3), 1 - saturation, 0)
    offset = (1 - contrast) * brightness * float(grey.mean())
    return np.asarray(cv2.addWeighted(saturated, brightness * contrast, saturated, 0, offset), np.uint8)
