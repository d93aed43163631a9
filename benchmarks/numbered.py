"""Pictures that hold their own number, so that a frame can be followed through what may lose it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NUMBER_BITS, CHECK_BITS = 20, 4
BITS = NUMBER_BITS + CHECK_BITS


def numbered_picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """A moving disc, and below it the bits of ``number`` and of a check sum as bars.

    Args:
        number: Less than 2^20.
        height: Pixels.
        width: Pixels, at least 4 a bar.

    Returns:
        RGB, uint8 [height, width, 3].
    """
    image = np.full((height, width, 3), (60, 90, 120), np.uint8)
    centre = (number * 7 % width, height // 3)
    cv2.circle(image, centre, height // 6, (220, 80, 60), -1)
    bars = np.array([_word(number) >> bit & 1 for bit in range(BITS)], np.uint8) * 219 + 16
    columns = np.arange(width) * BITS // width
    image[height // 2 :] = bars[columns][None, :, None]
    return image


def read_number(image: NDArray[np.uint8]) -> int | None:
    """The number of a picture; None where its bars are damaged."""
    height, width = image.shape[:2]
    bars = image[height * 5 // 8 : height * 7 // 8].astype(np.float32).mean(axis=2)
    edges = np.arange(BITS + 1) * width // BITS
    quarter = width // BITS // 4
    word = 0
    for bit in range(BITS):
        bar = bars[:, edges[bit] + quarter : edges[bit + 1] - quarter]
        level = float(bar.mean())
        if 90 < level < 160 or float(bar.std()) > 60:
            return None
        word |= int(level > 125) << bit
    number = word & ((1 << NUMBER_BITS) - 1)
    return number if _word(number) == word else None


def _word(number: int) -> int:
    check = sum(number >> shift & 15 for shift in range(0, NUMBER_BITS, CHECK_BITS)) % 15 + 1
    return number | check << NUMBER_BITS
