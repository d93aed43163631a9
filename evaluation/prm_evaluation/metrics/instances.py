"""Instance masks against ground-truth masks: mAP^r and Average Best Overlap (Sec. 4.3 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.average_precision import average_precision

IOU_THRESHOLDS = (0.25, 0.5, 0.75)


def mean_over_classes(values: NDArray[np.float64]) -> float:
    """Mean of a per-class figure over the classes that have one; ``nan`` where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def match_predictions(
    iou: NDArray[np.float32], scores: NDArray[np.floating], thresholds: Sequence[float]
) -> NDArray[np.bool_]:
    """Which predictions of one class in one picture are true positives.

    The protocol of chainercv's ``eval_instance_segmentation_voc``: by falling score, each prediction goes
    to the ground-truth mask that it overlaps most; it is a true positive if that overlap reaches the
    threshold and no better-scored prediction has claimed the mask. A second claim is a false positive, even
    where another mask is free.

    Args:
        iou: [n, g] overlaps of predictions and ground truth of the class.
        scores: [n].
        thresholds: T overlap thresholds.

    Returns:
        bool [n, T] in the order of the predictions given.
    """
    matches = np.zeros((len(iou), len(thresholds)), dtype=bool)
    if iou.size == 0:
        return matches
    best = iou.argmax(axis=1)
    for column, threshold in enumerate(thresholds):
        claimed: set[int] = set()
        for prediction in np.argsort(-scores, kind="stable"):
            truth = int(best[prediction])
            if iou[prediction, truth] >= threshold and truth not in claimed:
                claimed.add(truth)
                matches[prediction, column] = True
    return matches


class InstancePrecision:
    """mAP^r: average precision of instance masks, per class and overlap threshold.

    Ground truth is taken as given: predicted pixels on void count as pixels, as in chainercv.
    """

    def __init__(self, num_classes: int, thresholds: Sequence[float] = IOU_THRESHOLDS) -> None:
        self.thresholds = tuple(thresholds)
        self._positives = np.zeros(num_classes, dtype=np.int64)
        self._scores: list[list[NDArray[np.floating]]] = [[] for _ in range(num_classes)]
        self._matches: list[list[NDArray[np.bool_]]] = [[] for _ in range(num_classes)]

    def update(
        self,
        iou: NDArray[np.float32],
        scores: NDArray[np.floating],
        class_ids: NDArray[np.integer],
        truth_class_ids: NDArray[np.integer],
    ) -> None:
        """Add one picture.

        Args:
            iou: float [n, g] overlaps of all predictions with all ground-truth masks (see ``mask_iou``).
            scores: [n] confidences of the predictions.
            class_ids: [n] classes of the predictions.
            truth_class_ids: [g] classes of the ground truth.
        """
        self._positives += np.bincount(truth_class_ids, minlength=len(self._positives))
        for class_id in np.unique(class_ids):
            mine = class_ids == class_id
            overlaps = iou[np.ix_(mine, truth_class_ids == class_id)]
            self._scores[class_id].append(scores[mine])
            self._matches[class_id].append(match_predictions(overlaps, scores[mine], self.thresholds))

    def compute(self) -> dict[float, NDArray[np.float64]]:
        """AP per class, [C], by overlap threshold; ``nan`` for classes without ground truth."""
        result = {threshold: np.full(len(self._positives), np.nan) for threshold in self.thresholds}
        for class_id, positives in enumerate(self._positives):
            scores, matches = self.predictions([class_id])
            for column, threshold in enumerate(self.thresholds):
                result[threshold][class_id] = average_precision(scores, matches[:, column], int(positives))
        return result

    def predictions(self, class_ids: Iterable[int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores [n] of all predictions of some classes, and at which thresholds each is a match, [n, T]."""
        chosen = list(class_ids)
        scores = [part for class_id in chosen for part in self._scores[class_id]]
        matches = [part for class_id in chosen for part in self._matches[class_id]]
        none = np.empty((0, len(self.thresholds)), bool)
        return np.concatenate([np.empty(0), *scores]), np.concatenate([none, *matches])


class AverageBestOverlap:
    """ABO: for each object, the overlap of the best prediction of its class, whatever its score.

    The reported figure is the mean over classes of the mean over a class's objects; the mean over all
    objects, in which frequent classes weigh more, is given as well.
    """

    def __init__(self, num_classes: int) -> None:
        self._sums = np.zeros(num_classes)
        self._counts = np.zeros(num_classes, dtype=np.int64)

    def update(
        self,
        iou: NDArray[np.float32],
        class_ids: NDArray[np.integer],
        truth_class_ids: NDArray[np.integer],
    ) -> None:
        """Add one picture; arguments as in :meth:`InstancePrecision.update`."""
        same_class = class_ids[:, None] == truth_class_ids[None, :]
        best = np.where(same_class, iou, 0).max(axis=0, initial=0)
        np.add.at(self._sums, truth_class_ids, best)
        np.add.at(self._counts, truth_class_ids, 1)

    def compute(self) -> NDArray[np.float64]:
        """ABO per class, [C]; ``nan`` for classes without objects."""
        means = np.full(len(self._sums), np.nan)
        np.divide(self._sums, self._counts, out=means, where=self._counts > 0)
        return means

    def over_objects(self) -> float:
        """ABO as the mean over all objects."""
        return float(self._sums.sum() / self._counts.sum()) if self._counts.any() else math.nan
