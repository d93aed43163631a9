"""Masks of a frame, from unions of superpixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.errors import PrmError


def frame_masks(
    members: NDArray[np.bool_],
    labels: NDArray[np.int32],
    frame_size: tuple[int, int],
    out: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Masks in frame resolution of unions of superpixels, with smooth edges.

    Args:
        members: Superpixels of each instance, bool [n, K].
        labels: Superpixel of each pixel of the label grid, int32 [h, w].
        frame_size: (H, W).
        out: Where to write them, bool [N, H, W] with N >= n; new memory if None.

    Returns:
        bool [n, H, W], the first n of ``out`` if given: the 0/1 mask, interpolated bilinearly and cut at 0.5.
    """
    height, width = frame_size
    masks = np.empty((len(members), height, width), np.bool_) if out is None else out[: len(members)]
    for mask, union in zip(masks, members, strict=True):
        grid = union.astype(np.uint8)[labels] * np.uint8(255)
        mask[:] = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR) > 127
    return masks


def check_room(out: NDArray[np.bool_], frame_size: tuple[int, int]) -> None:
    """Refuse what the masks of a frame cannot be written to.

    Raises:
        PrmError: If it is not bool [N, H, W], or read-only.
    """
    height, width = frame_size
    if out.dtype != np.bool_ or out.ndim != 3 or out.shape[1:] != frame_size:
        raise PrmError(f"out must be bool [N, {height}, {width}], got {out.dtype} {list(out.shape)}")
    if not out.flags.writeable:
        raise PrmError("out must be writeable, got a read-only array")
