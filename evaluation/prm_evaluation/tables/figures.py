"""mAP^r and ABO of one way to make instance masks: what Tables 4, 5 and 6 are made of."""

from __future__ import annotations

from prm_evaluation.metrics import AverageBestOverlap, InstancePrecision, mask_iou, mean_over_classes
from prm_evaluation.tables.picture import Predicted, Truth

MEASURES = ("mAP25", "mAP50", "mAP75", "ABO")


class MaskFigures:
    """mAP^r at 0.25, 0.5 and 0.75 and Average Best Overlap (Sec. 4.3 of the paper).

    Attributes:
        precision: The accumulator of mAP^r.
        best_overlap: The accumulator of ABO.
    """

    def __init__(self, num_classes: int) -> None:
        self.precision = InstancePrecision(num_classes)
        self.best_overlap = AverageBestOverlap(num_classes)

    def update(self, predicted: Predicted, truth: Truth) -> None:
        """Add one picture."""
        iou = mask_iou(predicted.masks, truth.masks)
        self.precision.update(iou, predicted.scores, predicted.class_ids, truth.class_ids)
        self.best_overlap.update(iou, predicted.class_ids, truth.class_ids)

    def compute(self) -> tuple[float, ...]:
        """``MEASURES`` in percent, means over classes."""
        per_class = [*self.precision.compute().values(), self.best_overlap.compute()]
        return tuple(100 * mean_over_classes(values) for values in per_class)
