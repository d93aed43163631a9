"""Masks that follow the picture by optical flow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.instances import Instances, mask_boxes
from prm_runtime.reuse.grid import grey, pixel_grid
from prm_runtime.reuse.settings import ReuseSettings


class Follower:
    """Moves the instances of one frame on to those that come after it.

    Dense flow (DIS; Kroeger et al., ECCV 2016) leads each pixel back to the frame before, and frame by frame
    to where it was when the network last ran: masks are drawn once from there, and do not wear off.
    """

    def __init__(self, image: NDArray[np.uint8], instances: Instances, settings: ReuseSettings) -> None:
        """Begin at a frame and what was found in it."""
        self._settings = settings
        self._instances = instances
        self._before = grey(image)
        self._origin = pixel_grid(*self._before.shape)
        self._size = image.shape[:2]
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def follow(self, image: NDArray[np.uint8]) -> Instances | None:
        """The instances in the next frame, without PRMs; None where flow does not explain the frame."""
        now = grey(image)
        if image.shape[:2] != self._size:
            return None
        flow = self._flow.calc(now, self._before, None)  # type: ignore[call-overload]
        back = pixel_grid(*now.shape) + flow
        explained = _sampled(self._before, back)
        unexplained = cv2.absdiff(explained, now) > self._settings.unexplained_levels
        if unexplained.mean() > self._settings.max_unexplained:
            return None
        self._origin = _sampled(self._origin, back)
        self._before = now
        return moved_instances(self._instances, self._origin)


def moved_instances(instances: Instances, origin: NDArray[np.float32]) -> Instances:
    """Instances where the picture has taken them.

    Args:
        instances: Those of an earlier frame of the same size.
        origin: Where each pixel of a small grid was in that frame, (x, y) in pixels of the grid, float32
            [h, w, 2].

    Returns:
        Instances with their scores and tracks, without PRMs; those that have left the picture are gone.
    """
    if len(instances) == 0:
        return instances
    source = _at_full_size(origin, instances.masks.shape[1:])
    whole, part = cv2.convertMaps(source[..., 0], source[..., 1], cv2.CV_16SC2)  # once for all masks
    masks = np.empty_like(instances.masks)
    for mask, before in zip(masks, instances.masks, strict=True):
        grid = before.view(np.uint8) * np.uint8(255)
        mask[:] = cv2.remap(grid, whole, part, cv2.INTER_LINEAR) > 127
    seen = masks.any(axis=(1, 2))
    left = replace(instances, prms=None).select(seen)
    masks = masks[seen]
    peaks = np.array(
        [_moved_point(peak, mask, source) for peak, mask in zip(left.peaks, masks, strict=True)], np.float32
    ).reshape(-1, 2)
    return replace(left, masks=masks, boxes=mask_boxes(masks), peaks=peaks)


def _sampled(image: NDArray[Any], at: NDArray[np.float32]) -> NDArray[Any]:
    """An image at positions (x, y), float32 [h, w, 2]; beyond its border that goes on."""
    return np.asarray(
        cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _at_full_size(origin: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Where each pixel of the frame was, (x, y) in pixels of the frame, float32 [H, W, 2]."""
    (h, w), (height, width) = origin.shape[:2], size
    zoom = np.array([width / w, height / h], np.float32)
    moves = (origin - pixel_grid(h, w)) * zoom  # interpolated, unlike positions, right up to the border
    return np.asarray(pixel_grid(height, width) + cv2.resize(moves, (width, height)), dtype=np.float32)


def _moved_point(
    point: NDArray[np.float32], mask: NDArray[np.bool_], source: NDArray[np.float32]
) -> tuple[int, int]:
    """The pixel of a mask that comes from nearest to a point."""
    rows, columns = np.nonzero(mask)
    nearest = int(((source[rows, columns] - point) ** 2).sum(axis=1).argmin())
    return int(columns[nearest]), int(rows[nearest])
