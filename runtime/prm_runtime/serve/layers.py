"""What lies over a picture, in the forms that a browser draws: outlines and small grey pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.evidence import Evidence
from prm_proposals.maps import upsample
from prm_runtime.draw import prm_heat

MAX_PICTURE_SIDE = 1280
JPEG_QUALITY = 80
PRM_SIDE = 160
CLASS_MAP_SIDE = 96
MAX_CLASS_MAPS = 6


def picture(image: NDArray[np.uint8]) -> bytes:
    """A JPEG of an RGB picture, uint8 [H, W, 3], at most ``MAX_PICTURE_SIDE`` pixels long."""
    size = fit_size(image.shape[:2], MAX_PICTURE_SIDE)
    if size != image.shape[:2]:
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def outlines(mask: NDArray[np.bool_], box: NDArray[np.int64], tolerance: float = 0.0) -> list[list[int]]:
    """Closed lines through the outermost pixels of a mask and along its holes, to be filled even-odd.

    Args:
        mask: bool [H, W].
        box: (x0, y0, x1, y1) around it, x1 and y1 exclusive.
        tolerance: Pixels by which a line may miss the mask's border; it takes the stairs out of slopes.

    Returns:
        x0, y0, x1, y1, ... of each line, in pixels of the frame.
    """
    x0, y0, x1, y1 = (int(side) for side in box)
    inside = np.ascontiguousarray(mask[y0:y1, x0:x1]).view(np.uint8)
    lines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
    if tolerance > 0:
        lines = [cv2.approxPolyDP(line, tolerance, closed=True) for line in lines]
    return [[int(number) for number in line.ravel()] for line in lines]


def prm_column(prms: NDArray[np.float32]) -> tuple[bytes, tuple[int, int]]:
    """Peak Response Maps below each other in one grey PNG, and the (height, width) of each.

    Args:
        prms: float32 [n, h2, w2].

    Returns:
        255 where a map responds most; nothing and (0, 0) without maps.
    """
    if len(prms) == 0:
        return b"", (0, 0)
    size = fit_size(prms.shape[1:], PRM_SIDE)
    return _png_column([prm_heat(prm, size) for prm in prms]), size


def strongest_classes(evidence: Evidence, found: NDArray[np.int64]) -> list[int]:
    """The classes whose maps are worth a look: those that were found, then those that respond most."""
    wanted = list(dict.fromkeys(found.tolist()))
    by_response = np.argsort(-evidence.class_maps.max(axis=(1, 2)))
    return list(dict.fromkeys([*wanted, *by_response.tolist()]))[:MAX_CLASS_MAPS]


def class_map_column(
    evidence: Evidence, class_ids: Sequence[int], frame_size: tuple[int, int], map_shift: float
) -> tuple[bytes, tuple[int, int]]:
    """Class response maps below each other in one grey PNG, and the (height, width) of each.

    Args:
        evidence: What the network said about the frame.
        class_ids: Which maps.
        frame_size: (H, W).
        map_shift: ``RetrievalSettings.map_shift``: cells by which the maps are moved down and right.

    Returns:
        0 at and below a logit of 0, 255 at the largest of all these maps.
    """
    size = fit_size(frame_size, CLASS_MAP_SIDE)
    maps = np.maximum(upsample(evidence.class_maps[list(class_ids)], size, map_shift), 0)
    return _png_column(list(maps / max(float(maps.max()), 1e-6))), size


def fit_size(size: Sequence[int], longest: int) -> tuple[int, int]:
    """``size`` (height, width), made smaller where a side is longer than ``longest``.

    Example:
        >>> fit_size((1080, 1920), 1280)
        (720, 1280)
    """
    height, width = size
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _png_column(maps: Sequence[NDArray[np.float32]]) -> bytes:
    """Maps of one size with values 0..1 below each other as an 8-bit grey PNG."""
    grey = (np.concatenate(maps) * 255).round().astype(np.uint8)
    return cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
