"""COCO's AP and AR of instance masks, computed by pycocotools itself."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

COCO_FIGURES = (
    "AP", "AP50", "AP75", "AP small", "AP medium", "AP large",
    "AR 1", "AR 10", "AR 100", "AR small", "AR medium", "AR large",
)  # fmt: skip
"""In the order of ``COCOeval.stats``."""


class CocoPrecision:
    """Average precision and recall over the overlaps 0.5, 0.55 … 0.95, as COCO's leaderboard has them.

    Masks are kept as run lengths until :meth:`compute`.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._categories = [{"id": class_id} for class_id in range(num_classes)]
        self._images: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def update(
        self,
        masks: NDArray[np.bool_],
        scores: NDArray[np.floating],
        class_ids: NDArray[np.integer],
        truth: NDArray[np.bool_],
        truth_class_ids: NDArray[np.integer],
        areas: NDArray[np.floating],
        crowd: NDArray[np.bool_],
    ) -> None:
        """Add one picture.

        Args:
            masks: bool [n, H, W], the predictions.
            scores: [n] their confidences.
            class_ids: [n] their classes.
            truth: bool [g, H, W], the ground truth.
            truth_class_ids: [g].
            areas: [g] pixels by which an object is small (up to 32²), medium (up to 96²) or large.
            crowd: bool [g]; predictions inside a crowd of their class are ignored.
        """
        image_id = len(self._images)
        height, width = masks.shape[1:]
        self._images.append({"id": image_id, "height": height, "width": width})
        for mask, score, class_id in zip(masks, scores, class_ids, strict=True):
            annotation = _annotation(len(self._found), image_id, int(class_id), mask)
            self._found.append(annotation | {"area": int(mask.sum()), "score": float(score)})
        for mask, class_id, area, is_crowd in zip(truth, truth_class_ids, areas, crowd, strict=True):
            annotation = _annotation(len(self._truth), image_id, int(class_id), mask)
            self._truth.append(annotation | {"area": float(area), "iscrowd": int(is_crowd)})

    def compute(self) -> dict[str, float]:
        """The figures of :data:`COCO_FIGURES`, in 0..1; ``nan`` where there are no such objects."""
        with redirect_stdout(io.StringIO()):  # pycocotools reports on stdout, which belongs to the caller
            evaluation = COCOeval(self._index(self._truth), self._index(self._found), "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        stats = np.where(evaluation.stats < 0, np.nan, evaluation.stats)
        return dict(zip(COCO_FIGURES, stats.tolist(), strict=True))

    def _index(self, annotations: list[dict[str, Any]]) -> COCO:
        index = COCO()
        index.dataset = {"images": self._images, "categories": self._categories, "annotations": annotations}
        index.createIndex()
        return index


def _annotation(position: int, image_id: int, class_id: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    segmentation = rle.encode(np.asfortranarray(mask.view(np.uint8)))
    # COCOeval takes an object matched by number 0 for not matched
    return {"id": position + 1, "image_id": image_id, "category_id": class_id, "segmentation": segmentation}
