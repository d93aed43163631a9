"""Masks as polygons, for formats that know nothing else."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

TOLERANCES_PX = (1.0, 0.75)  # how far a simplified outline strays; diagonals need 0.71 to lose their steps
FAITHFUL_IOU = 0.97  # a simplified outline that overlaps its mask less is not used

Ring = NDArray[np.float64]
"""A closed outline, float64 [n, 2]: (x, y) in pixels, pixel (x, y) covering x to x + 1 and y to y + 1."""


def mask_polygons(mask: NDArray[np.bool_], simplify: bool = True) -> list[Ring]:
    """The parts of a mask as polygons, largest first.

    A hole is cut open: a polygon runs to it and back along one line of no width, since neither COCO nor YOLO
    nor labelme has holes in polygons.

    Args:
        mask: bool [H, W].
        simplify: Replace the steps of pixels by straight lines, as long as the polygons overlap the mask by
            ``FAITHFUL_IOU``.

    Returns:
        One polygon per connected part (pixels that touch at corners are connected); none for an empty mask.

    Example:
        >>> mask = np.zeros((4, 6), bool)
        >>> mask[1:3, 2:5] = True
        >>> mask_polygons(mask)[0].tolist()
        [[2.0, 1.0], [2.0, 3.0], [5.0, 3.0], [5.0, 1.0]]
    """
    exact = _outlines(mask)
    for tolerance in TOLERANCES_PX if simplify else ():
        polygons = [join_rings([_simplified(ring, tolerance) for ring in part]) for part in exact]
        if _overlap(polygons, mask) >= FAITHFUL_IOU:
            return polygons
    return [join_rings(part) for part in exact]


def join_rings(rings: list[Ring]) -> Ring:
    """One ring out of several, by lines of no width from each to the nearest corner of those before it."""
    joined = rings[0]
    for ring in rings[1:]:
        distances = ((joined[:, None] - ring[None]) ** 2).sum(axis=2)
        at, start = np.unravel_index(distances.argmin(), distances.shape)
        detour = np.roll(ring, -start, axis=0)
        joined = np.concatenate([joined[: at + 1], detour, detour[:1], joined[at:]])
    return joined


def polygon_mask(polygons: list[Ring], height: int, width: int) -> NDArray[np.bool_]:
    """The union of polygons as pycocotools rasterises them, bool [height, width]."""
    if not polygons:
        return np.zeros((height, width), np.bool_)
    encoded = coco.merge(coco.frPyObjects([ring.ravel().tolist() for ring in polygons], height, width))
    decoded: NDArray[np.uint8] = coco.decode(encoded)
    return decoded.astype(np.bool_)


def _outlines(mask: NDArray[np.bool_]) -> list[list[Ring]]:
    """The edges of the pixels around each part: its outer ring, then those of its holes; largest part first.

    OpenCV's contours run through the centres of pixels. On a mask of twice the size each pixel has a left and
    a right column and an upper and a lower row; the one that a contour takes says on which side the edge is.
    """
    twice = mask.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts: dict[int, list[Ring]] = {}
    for n, contour in enumerate(contours):
        corners = (contour[:, 0].astype(np.int64) + 1) // 2
        moved = (corners != np.roll(corners, 1, axis=0)).any(axis=1)
        ring = corners[moved].astype(np.float64)
        parent = int(hierarchy[0][n][3])
        parts.setdefault(n if parent < 0 else parent, []).append(ring)
    return sorted(parts.values(), key=lambda part: -cv2.contourArea(part[0].astype(np.float32)))


def _simplified(ring: Ring, tolerance: float) -> Ring:
    simple = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)
    return ring if len(simple) < 3 else np.asarray(simple[:, 0], dtype=np.float64)


def _overlap(polygons: list[Ring], mask: NDArray[np.bool_]) -> float:
    drawn = polygon_mask(polygons, *mask.shape)
    union = int((drawn | mask).sum())
    return 1.0 if union == 0 else float((drawn & mask).sum() / union)
