"""What an instance looks like: a histogram of its colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LONG_SIDE = 320  # of the grid that masks are compared on and colours are counted on
_BINS = (4, 12, 12)  # of lightness, which shadows change, fewer than of a and b


def small_size(height: int, width: int) -> tuple[int, int]:
    """The grid (h, w) of frames of that size."""
    zoom = min(1.0, LONG_SIDE / max(height, width))
    return max(1, round(height * zoom)), max(1, round(width * zoom))


def small_masks(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks, bool [n, H, W], on the small grid, bool [n, h, w]; a pixel by its nearest neighbour."""
    height, width = masks.shape[1:]
    h, w = small_size(height, width)
    rows, columns = (np.arange(h) * height + height // 2) // h, (np.arange(w) * width + width // 2) // w
    return np.asarray(masks[:, rows[:, None], columns], dtype=np.bool_)


def colour_histograms(image: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Shares of the colours (CIE Lab) in each mask.

    Args:
        image: RGB, uint8 [H, W, 3].
        masks: :func:`small_masks` of it, bool [n, h, w].

    Returns:
        float32 [n, bins]; each sums to 1, or is 0 for an empty mask.
    """
    height, width = masks.shape[1:]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.int64)
    lab[..., 1:] = np.clip(
        2 * lab[..., 1:] - 128, 0, 255
    )  # a and b hardly leave the middle half of their range
    lightness, a, b = (lab[..., channel] * bins // 256 for channel, bins in enumerate(_BINS))
    cells = (lightness * _BINS[1] + a) * _BINS[2] + b
    counts = np.zeros((len(masks), int(np.prod(_BINS))))
    for count, mask in zip(counts, masks, strict=True):
        count += np.bincount(cells[mask], minlength=len(count))
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), dtype=np.float32)


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bhattacharyya coefficients of histograms, [n, bins] and [m, bins]: float32 [n, m] in 0..1."""
    return np.asarray(np.sqrt(a) @ np.sqrt(b).T, dtype=np.float32)


def mask_ious(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Intersection over union of all pairs of masks, [n, h, w] and [m, h, w], float32 [n, m]."""
    flat_a, flat_b = (
        masks.reshape(len(masks), int(np.prod(masks.shape[1:]))).astype(np.float32) for masks in (a, b)
    )
    common = flat_a @ flat_b.T
    union = flat_a.sum(axis=1)[:, None] + flat_b.sum(axis=1) - common
    return np.asarray(common / np.maximum(union, 1), dtype=np.float32)


def moved(mask: NDArray[np.bool_], dx: int, dy: int) -> NDArray[np.bool_]:
    """A mask, bool [h, w], shifted by whole pixels; what leaves the grid is gone."""
    height, width = mask.shape
    shifted = np.zeros_like(mask)
    if abs(dx) < width and abs(dy) < height:
        shifted[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
            max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
        ]
    return shifted
