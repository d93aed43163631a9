"""From a decoded picture to a network's input: augmented for training, as a device makes it for validation.

Pictures keep their aspect, as at run time, and none is padded: the peaks of a class map are everywhere, so
padding would hold some of them, and Eq. 2 would train the network on what it answers to nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import input_size, resize

Picture = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def augment(
    image: Picture,
    rng: np.random.Generator,
    *,
    preprocessing: Preprocessing,
    least_crop: float,
    jitter: float,
) -> Picture:
    """Crop, flip and change the colours of a picture at random.

    Args:
        image: RGB, uint8 [H, W, 3].
        rng: The only source of randomness.
        preprocessing: Decides the size of the result, from the whole picture's size.
        least_crop: A random share of both sides, at least this, is kept.
        jitter: Brightness, contrast and saturation are each multiplied by 1 ± at most this.

    Returns:
        RGB, uint8 [h, w, 3], h and w as ``fit`` gives them.
    """
    size = input_size(image.shape[0], image.shape[1], preprocessing)
    image = _crop(image, rng.uniform(least_crop, 1), rng.random(2))
    image = _jitter(resize(image, *size), 1 + jitter * rng.uniform(-1, 1, 3))
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image


def fit(image: Picture, _rng: object = None, *, preprocessing: Preprocessing) -> Picture:
    """Resize a picture uint8 [H, W, 3] to the size it has at run time: uint8 [h, w, 3].

    Nothing is random; the second argument is there for whoever calls this in place of ``augment``.
    """
    return resize(image, *input_size(image.shape[0], image.shape[1], preprocessing))


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
