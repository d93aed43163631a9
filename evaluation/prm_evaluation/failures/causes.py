"""The causes of failures: exclusive, and each failure has one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.overlap import iou_from_counts

TOUCHED = 0.1
"""Share of an object from which on predictions of its class are said to touch it."""
MOSTLY = 0.5
"""Share from which on a mask holds most of another."""


class Cause(Enum):
    """Why an object was missed (``M_…``) or a prediction is wrong (``F_…``): title and definition.

    The first one that applies, in this order, is the cause; the last of each kind always does.
    """

    M_OTHER_CLASS = (
        "missed: found as another class",
        "a prediction of another class overlaps the object enough",
    )
    M_CLASS = "missed: class not found", "no prediction in the whole picture is of its class"
    M_UNTOUCHED = (
        "missed: untouched",
        "its class is found in the picture, but these predictions cover less than 10 % of the object",
    )
    M_MERGED = (
        "missed: merged with neighbours",
        "the best prediction of its class covers at least half of another object of the class",
    )
    M_SPLIT = (
        "missed: in several parts",
        "predictions of its class that lie at least half inside it would overlap it enough together",
    )
    M_TOO_BIG = "missed: too big", "the best prediction of its class is larger than the object"
    M_PARTIAL = "missed: partial", "the best prediction of its class is no larger than the object"

    F_DUPLICATE = (
        "wrong: duplicate",
        "overlaps an object of its class enough, but a better-scored prediction has found that",
    )
    F_MERGED = "wrong: merged neighbours", "covers at least half of two or more objects of its class"
    F_PARTIAL = "wrong: part of an object", "at least half of it lies on one object of its class"
    F_TOO_BIG = "wrong: too big", "covers at least half of an object of its class"
    F_OTHER_CLASS = "wrong: another class", "at least half of it lies on objects of other classes"
    F_BACKGROUND = (
        "wrong: background",
        "none of the above: no object holds most of it, and it holds most of none of its class",
    )

    def __init__(self, title: str, definition: str) -> None:
        self.title = title
        self.definition = definition

    @property
    def of_object(self) -> bool:
        """Whether objects are missed for it; else it is predictions that are wrong."""
        return self.name.startswith("M_")


@dataclass(frozen=True)
class Explained:
    """A picture's failures.

    Attributes:
        missed: Cause by index of the object.
        wrong: Cause by index of the prediction.
        best: For each object the prediction of its class with the highest IoU, -1 where none touches it.
        nearest: For each prediction the object of its class, else of any, with the highest IoU, -1 where it
            touches none.
    """

    missed: dict[int, Cause]
    wrong: dict[int, Cause]
    best: NDArray[np.intp]
    nearest: NDArray[np.intp]


def explain(
    masks: NDArray[np.bool_],
    scores: NDArray[np.floating],
    class_ids: NDArray[np.integer],
    truth: NDArray[np.bool_],
    truth_class_ids: NDArray[np.integer],
    threshold: float = 0.5,
) -> Explained:
    """Name the cause of each failure in one picture.

    What is found is what mAP^r counts: by falling score, a prediction goes to the object of its class that
    it overlaps most, and finds it at an IoU of ``threshold`` unless it has been found before.

    Args:
        masks: Predictions, bool [n, H, W], none empty.
        scores: [n].
        class_ids: [n].
        truth: Objects, bool [g, H, W], none empty.
        truth_class_ids: [g].
        threshold: IoU that is enough.
    """
    area = masks.shape[1] * masks.shape[2]
    pixels = masks.reshape(len(masks), area).astype(np.float32)
    truth_pixels = truth.reshape(len(truth), area).astype(np.float32)
    shared = pixels @ truth_pixels.T
    sizes, truth_sizes = pixels.sum(axis=1), truth_pixels.sum(axis=1)
    iou = iou_from_counts(shared, sizes, truth_sizes)
    same = class_ids[:, None] == truth_class_ids[None, :]
    of_class = np.where(same, iou, 0)
    finders = _finders(of_class, scores, threshold)
    inside, covered = shared / sizes[:, None], shared / truth_sizes

    def missed_because(g: int) -> Cause:
        own = np.flatnonzero(same[:, g])
        if (np.where(same[:, g], 0, iou[:, g]) >= threshold).any():
            return Cause.M_OTHER_CLASS
        if len(own) == 0:
            return Cause.M_CLASS
        if (masks[own].any(axis=0) & truth[g]).sum() < TOUCHED * truth_sizes[g]:
            return Cause.M_UNTOUCHED
        best = of_class[:, g].argmax()
        neighbours = truth_class_ids == truth_class_ids[g]
        neighbours[g] = False
        if (covered[best, neighbours] >= MOSTLY).any():
            return Cause.M_MERGED
        parts = masks[own[inside[own, g] >= MOSTLY]].any(axis=0)
        if (parts & truth[g]).sum() >= threshold * (parts | truth[g]).sum():
            return Cause.M_SPLIT
        return Cause.M_TOO_BIG if sizes[best] > truth_sizes[g] else Cause.M_PARTIAL

    def wrong_because(p: int) -> Cause:
        own = same[p]
        if of_class[p].max(initial=0) >= threshold:
            return Cause.F_DUPLICATE
        if (covered[p, own] >= MOSTLY).sum() > 1:
            return Cause.F_MERGED
        if (inside[p, own] >= MOSTLY).any():
            return Cause.F_PARTIAL
        if (covered[p, own] >= MOSTLY).any():
            return Cause.F_TOO_BIG
        others = truth[~own].any(axis=0)
        if (masks[p] & others).sum() >= MOSTLY * sizes[p]:
            return Cause.F_OTHER_CLASS
        return Cause.F_BACKGROUND

    found = set(finders.values())
    preferred = iou + same  # any object of the class before all others
    return Explained(
        missed={g: missed_because(g) for g in range(len(truth)) if g not in found},
        wrong={p: wrong_because(p) for p in range(len(masks)) if p not in finders},
        best=_best(of_class.T, of_class.T),
        nearest=_best(np.where(iou > 0, preferred, 0), iou),
    )


def _finders(of_class: NDArray[np.float32], scores: NDArray[np.floating], threshold: float) -> dict[int, int]:
    """The object that each true positive finds, by prediction."""
    finders: dict[int, int] = {}
    if of_class.size == 0:
        return finders
    for prediction in np.argsort(-scores, kind="stable"):
        truth = int(of_class[prediction].argmax())
        if of_class[prediction, truth] >= threshold and truth not in finders.values():
            finders[int(prediction)] = truth
    return finders


def _best(values: NDArray[np.floating], iou: NDArray[np.floating]) -> NDArray[np.intp]:
    """Column of the highest value of each row, -1 where the row's overlaps are all 0."""
    if values.shape[1] == 0:
        return np.full(len(values), -1, np.intp)
    return np.where(iou.max(axis=1) > 0, values.argmax(axis=1), -1)
