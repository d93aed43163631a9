"""Metrics on instance masks, class maps and image labels: numpy in, numbers out, no model involved.

Every metric is a small accumulator: ``update`` takes one picture, ``compute`` gives the figures so far.
What is kept between pictures are scores, matches and counts; masks only as run lengths, for COCO's figures.
"""

from __future__ import annotations

from prm_evaluation.metrics.average_precision import average_precision
from prm_evaluation.metrics.classification import ClassificationPrecision
from prm_evaluation.metrics.coco import COCO_FIGURES, CocoPrecision
from prm_evaluation.metrics.instances import AverageBestOverlap, InstancePrecision, mean_over_classes
from prm_evaluation.metrics.localisation import PointwiseLocalisation
from prm_evaluation.metrics.merge import merged
from prm_evaluation.metrics.overlap import mask_iou
from prm_evaluation.metrics.semantic import SemanticIoU, merge_instances

__all__ = [
    "COCO_FIGURES",
    "AverageBestOverlap",
    "ClassificationPrecision",
    "CocoPrecision",
    "InstancePrecision",
    "PointwiseLocalisation",
    "SemanticIoU",
    "average_precision",
    "mask_iou",
    "mean_over_classes",
    "merge_instances",
    "merged",
]
