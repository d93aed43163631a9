"""Masks of a frame, from unions of superpixels."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.maps import bilinear_taps
from prm_proposals.pooling import Pooling
from prm_runtime.errors import PrmError

_HALF = np.float32(0.5 - 1e-6)  # what rounding makes of one half is inside too


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
    return masks_and_boxes(members, Pooling(labels, members.shape[1]), frame_size, out)[0]


def masks_and_boxes(
    members: NDArray[np.bool_],
    grid: Pooling,
    frame_size: tuple[int, int],
    out: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Masks as :func:`frame_masks` makes them, and their tight boxes.

    Only the part of the frame that an instance's superpixels reach is looked at.

    Args:
        members: Superpixels of each instance, bool [n, K].
        grid: Superpixels and the boxes around them.
        frame_size: (H, W).
        out: Where to write the masks, as for :func:`frame_masks`.

    Returns:
        ``(masks, boxes)``: bool [n, H, W]; (x0, y0, x1, y1), x1 and y1 exclusive, all 0 where the mask is
        empty, int64 [n, 4].
    """
    height, width = frame_size
    masks = np.zeros((len(members), height, width), np.bool_) if out is None else out[: len(members)]
    if out is not None:
        masks[:] = False
    labels, boxes = grid.labels, grid.boxes
    for axis in (0, 1):
        if labels.shape[axis] == 1:  # interpolation is between two cells
            labels = np.repeat(labels, 2, axis=axis)
            boxes = boxes * np.where(np.arange(4) // 2 == axis, 2, 1).astype(np.int32)
    found: NDArray[np.int64] = _draw(members, labels, boxes, masks)
    return masks, found


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


@njit(cache=True, nogil=True)
def _draw(members, labels, boxes, masks):  # type: ignore[no-untyped-def]
    """Draw each union of superpixels into a mask that is all false; returns the masks' boxes."""
    first_y, weight_y = bilinear_taps(masks.shape[1], labels.shape[0])
    first_x, weight_x = bilinear_taps(masks.shape[2], labels.shape[1])
    left_x, right_x = weight_x[:, 0].copy(), weight_x[:, 1].copy()
    found = np.zeros((len(members), 4), np.int64)
    cells = np.zeros(labels.shape[1], np.float32)
    upper = np.zeros(masks.shape[2], np.float32)
    lower = np.zeros(masks.shape[2], np.float32)
    for n in range(len(members)):
        inside, mask, box = members[n], masks[n], found[n]
        top, bottom, left, right = labels.shape[0], 0, labels.shape[1], 0
        for region in range(len(boxes)):
            if inside[region] and boxes[region, 1] > 0:
                top, bottom = min(top, boxes[region, 0]), max(bottom, boxes[region, 1])
                left, right = min(left, boxes[region, 2]), max(right, boxes[region, 3])
        if bottom == 0:
            continue
        # One column more on each side: between it and the next one the mask may begin or end.
        left, right = max(left - 1, 0), min(right + 1, labels.shape[1])
        begin, end = 0, masks.shape[2]
        while begin < end and first_x[begin] < left:
            begin += 1
        while end > begin and first_x[end - 1] + 1 >= right:
            end -= 1
        taps, from_left, from_right = first_x[begin:end], left_x[begin:end], right_x[begin:end]
        loaded = -2
        box[0], box[1] = masks.shape[2], -1
        for y in range(masks.shape[1]):
            row = first_y[y]
            if row + 1 < top or row >= bottom:
                continue
            if row != loaded:
                if row == loaded + 1:
                    upper, lower = lower, upper
                else:
                    _enlarge(inside, labels[row], left, right, cells, taps, from_left, from_right, upper)
                _enlarge(inside, labels[row + 1], left, right, cells, taps, from_left, from_right, lower)
                loaded = row
            above, below = weight_y[y]
            into = mask[y, begin:end]
            for x in range(len(into)):
                into[x] = above * upper[x] + below * lower[x] > _HALF
            low, high = 0, len(into)
            while low < high and not into[low]:
                low += 1
            while high > low and not into[high - 1]:
                high -= 1
            if low < high:
                if box[1] < 0:
                    box[1] = y
                box[0], box[2], box[3] = min(box[0], begin + low), max(box[2], begin + high), y + 1
        if box[1] < 0:
            box[:] = 0
    return found


@njit(cache=True, nogil=True)
def _enlarge(inside, row, left, right, cells, taps, from_left, from_right, into):  # type: ignore[no-untyped-def]
    """Whether each cell of a row of labels is inside, interpolated to the columns that have these taps."""
    for x in range(left, right):
        cells[x] = inside[np.uint32(row[x])]  # an unsigned index cannot count from the end: no check
    for x in range(len(taps)):
        at = np.uint64(taps[x])
        into[x] = from_left[x] * cells[at] + from_right[x] * cells[at + np.uint64(1)]
