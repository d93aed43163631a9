"""Boxes and the three ways from a box to a mask (Sec. 4.3 of the paper): Rect, Ellipse and MCG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.overlap import iou_from_counts
from prm_evaluation.tables.picture import MeasuredPicture, Truth
from prm_proposals.evidence import class_strength
from prm_proposals.gallery import Gallery
from prm_proposals.maps import superpixel_sums, upsample
from prm_proposals.retrieval import probability
from prm_runtime.instances import mask_boxes

CAM_LEVEL = 0.2
"""Share of a class map's maximum above which CAM [47] takes a pixel for the object."""


@dataclass(frozen=True)
class Boxes:
    """Boxes in pixels of the picture.

    Attributes:
        corners: x0, y0 inclusive, x1, y1 exclusive, int64 [n, 4].
        class_ids: int64 [n].
        scores: Confidences, float [n].
    """

    corners: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.floating]


def truth_boxes(truth: Truth) -> Boxes:
    """The tight boxes of the ground-truth masks, all with score 1."""
    seen = truth.masks.any(axis=(1, 2))  # polygons thinner than a pixel leave nothing to put a box around
    return Boxes(mask_boxes(truth.masks[seen]), truth.class_ids[seen], np.ones(int(seen.sum()), np.float32))


def class_map_boxes(picture: MeasuredPicture) -> Boxes:
    """One box per present class, as CAM localises (Zhou et al., "Learning Deep Features for Discriminative
    Localization", 2016): around the largest 8-connected part of the class map above 20 % of its maximum.

    Classes are present as for retrieval (``RetrievalSettings.presence``), and their strength is the score. A
    class whose map is nowhere positive has no box.
    """
    evidence, settings = picture.evidence, picture.settings
    strength = class_strength(evidence.class_maps, evidence.class_scores, settings)
    positive = evidence.class_maps.max(axis=(1, 2)) > 0
    present = np.flatnonzero((strength > settings.presence) & positive)
    maps = upsample(evidence.class_maps[present], picture.truth.size, settings.map_shift)
    corners = np.array([_box_of_largest_part(each > CAM_LEVEL * each.max()) for each in maps], np.int64)
    return Boxes(corners.reshape(-1, 4), present.astype(np.int64), probability(strength[present], settings))


def _box_of_largest_part(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    x, y, width, height, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()]  # row 0 is the background
    return x, y, x + width, y + height


def rectangles(corners: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Filled boxes, bool [n, H, W], in a picture of ``size`` (height, width)."""
    masks = np.zeros((len(corners), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def ellipses(corners: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The largest ellipse inside each box, bool [n, H, W]: pixels whose centre lies inside it.

    Example:
        >>> ellipses(np.array([[0, 0, 4, 4]]), (4, 4))[0].sum()
        np.int64(12)
    """
    y, x = np.ogrid[: size[0], : size[1]]
    masks = np.zeros((len(corners), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, corners, strict=True):
        across = (2 * x + 1 - x0 - x1) / (x1 - x0)
        down = (2 * y + 1 - y0 - y1) / (y1 - y0)
        mask[:] = across**2 + down**2 <= 1
    return masks


def nearest_proposals(masks: NDArray[np.bool_], gallery: Gallery) -> NDArray[np.bool_]:
    """The proposal of the highest IoU with each mask, as unions of superpixels.

    For a box the mask is the filled box. That the paper compares proposals themselves with the box, and not
    their own bounding boxes, follows from Table 6: with the ground truth in the gallery, its boxes retrieve
    29.2 % at IoU 0.75 and not nearly all.

    Args:
        masks: bool [n, H, W], covering the picture as the gallery does; brought to its grid.
        gallery: Proposals.

    Returns:
        bool [n, K]; without any proposal all False.
    """
    count = gallery.members.shape[1]
    if len(gallery) == 0:
        return np.zeros((len(masks), count), bool)
    height, width = gallery.labels.shape
    # averaged, not sampled: a mask thinner than a pixel of the grid would vanish
    grid = [
        cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) for mask in masks
    ]
    inside = np.array(grid, np.float32).reshape(-1, height, width)
    pixels = superpixel_sums(inside, gallery.labels, count)
    members = gallery.members.astype(np.float32)
    sizes = np.bincount(gallery.labels.ravel(), minlength=count).astype(np.float32)
    iou = iou_from_counts(pixels @ members.T, pixels.sum(axis=1), members @ sizes)
    chosen: NDArray[np.bool_] = gallery.members[iou.argmax(axis=1)]
    return chosen
