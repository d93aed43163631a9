"""chainercv's ``eval_instance_segmentation_voc`` spelled out, prediction by prediction.

Predictions and ground truth are lists of pictures; a picture is a list of (class_id, score, mask) or
(class_id, mask).
"""

from __future__ import annotations

import math

import numpy as np


def iou(a, b) -> float:
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 0.0


def voc_area(precision: list[float], recall: list[float]) -> float:
    """Area under the curve in which precision is made monotonically falling (``use_07_metric=False``)."""
    recalls = [0.0, *recall, 1.0]
    precisions = [0.0, *precision, 0.0]
    area = 0.0
    for i in range(len(recalls) - 1):
        if recalls[i + 1] != recalls[i]:
            area += (recalls[i + 1] - recalls[i]) * max(precisions[i + 1 :])
    return area


def instance_average_precision(predictions, truths, class_id: int, threshold: float) -> float:
    positives = sum(c == class_id for picture in truths for c, _ in picture)
    if positives == 0:
        return math.nan
    ranked = []
    for picture, objects in zip(predictions, truths, strict=True):
        masks = [mask for c, mask in objects if c == class_id]
        found = [False] * len(masks)
        mine = [(score, mask) for c, score, mask in picture if c == class_id]
        for score, mask in sorted(mine, key=lambda pair: -pair[0]):
            overlaps = [iou(mask, other) for other in masks]
            best = max(range(len(masks)), key=lambda g: overlaps[g], default=None)
            hit = best is not None and overlaps[best] >= threshold and not found[best]
            if hit:
                found[best] = True
            ranked.append((score, hit))
    ranked.sort(key=lambda pair: -pair[0])
    precision, recall, true_positives = [], [], 0
    for rank, (_, hit) in enumerate(ranked, start=1):
        true_positives += hit
        precision.append(true_positives / rank)
        recall.append(true_positives / positives)
    return voc_area(precision, recall)
