"""Run a bundle over a data set with instance masks and measure what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.datasets import GroundTruthDataset, Objects, Sample
from prm_evaluation.metrics import (
    AverageBestOverlap,
    ClassificationPrecision,
    CocoPrecision,
    InstancePrecision,
    PointwiseLocalisation,
    SemanticIoU,
    mask_iou,
    mean_over_classes,
    merge_instances,
)
from prm_evaluation.metrics.localisation import strongest_positions
from prm_proposals.evidence import Evidence
from prm_runtime.console import PrmError
from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

LOCALISATION_TOLERANCE = 18.0
"""Pixels, as in Oquab et al., whose metric the paper takes over."""


@dataclass(frozen=True)
class Evaluation:
    """What one retrieval method reached on a data set.

    Attributes:
        classes: Class names, by class id.
        pictures: How many pictures were measured.
        objects: How many ground-truth instances they hold.
        precision: AP per class, [C], by overlap threshold.
        best_overlap: ABO per class, [C].
        best_overlap_objects: ABO as the mean over all objects instead of classes.
        semantic: IoU of background and classes, [1 + C].
        localisation: AP of pointwise localisation per class, [C], tolerance 18 px.
        classification: AP of image classification per class, [C].
        coco: COCO's AP and AR by name, see :data:`prm_evaluation.metrics.COCO_FIGURES`.
    """

    classes: tuple[str, ...]
    pictures: int
    objects: int
    precision: dict[float, NDArray[np.float64]]
    best_overlap: NDArray[np.float64]
    best_overlap_objects: float
    semantic: NDArray[np.float64]
    localisation: NDArray[np.float64]
    classification: NDArray[np.float64]
    coco: dict[str, float]

    def per_class(self) -> dict[str, NDArray[np.float64]]:
        """Every per-class figure by name, each [C] in percent; ``nan`` for classes that no picture has."""
        columns = {f"mAP{threshold * 100:.0f}": ap for threshold, ap in self.precision.items()}
        columns |= {
            "ABO": self.best_overlap,
            "mIoU": self.semantic[1:],
            "localisation": self.localisation,
            "classification": self.classification,
        }
        return {name: 100 * values for name, values in columns.items()}

    def summary(self) -> dict[str, float]:
        """The headline figures in percent: means over classes (mIoU with the background)."""
        means = {name: mean_over_classes(values) for name, values in self.per_class().items()}
        means["mIoU"] = 100 * mean_over_classes(self.semantic)
        return means | {"ABO over objects": 100 * self.best_overlap_objects}

    def coco_summary(self) -> dict[str, float]:
        """COCO's AP and AR by name, in percent; ``nan`` where the data have no objects of that size."""
        return {name: 100 * value for name, value in self.coco.items()}


@dataclass
class _Metrics:
    """The accumulators of one retrieval method."""

    num_classes: int
    precision: InstancePrecision = field(init=False)
    best_overlap: AverageBestOverlap = field(init=False)
    semantic: SemanticIoU = field(init=False)
    coco: CocoPrecision = field(init=False)

    def __post_init__(self) -> None:
        self.precision = InstancePrecision(self.num_classes)
        self.best_overlap = AverageBestOverlap(self.num_classes)
        self.semantic = SemanticIoU(self.num_classes)
        self.coco = CocoPrecision(self.num_classes)

    def update(self, found: Instances, objects: Objects, class_mask: NDArray[np.uint8]) -> None:
        truth, truth_ids = objects.masks[~objects.crowd], objects.class_ids[~objects.crowd]
        iou = mask_iou(found.masks, truth)
        self.precision.update(iou, found.scores, found.class_ids, truth_ids)
        self.best_overlap.update(iou, found.class_ids, truth_ids)
        self.semantic.update(merge_instances(found.masks, found.scores, found.class_ids), class_mask)
        self.coco.update(
            found.masks,
            found.scores,
            found.class_ids,
            objects.masks,
            objects.class_ids,
            objects.areas,
            objects.crowd,
        )


class Evaluator:
    """Accumulates the figures of one or several retrieval methods that share the evidence of each picture.

    Args:
        dataset: Where the ground truth comes from.
        methods: Names of the retrieval methods.
        map_shift: ``RetrievalSettings.map_shift``, for pointwise localisation.
    """

    def __init__(self, dataset: GroundTruthDataset, methods: Iterable[str], map_shift: float = 0.0) -> None:
        self._dataset = dataset
        self._map_shift = map_shift
        self._pictures = 0
        self._objects = 0
        count = len(dataset.classes)
        self._methods = {method: _Metrics(count) for method in methods}
        self._localisation = PointwiseLocalisation(count, LOCALISATION_TOLERANCE)
        self._classification = ClassificationPrecision(count)

    def update(self, sample: Sample, evidence: Evidence, found: Mapping[str, Instances]) -> None:
        """Add one picture.

        Args:
            sample: The picture.
            evidence: What the network said about it.
            found: The instances that each method retrieved, at the size of the picture.
        """
        objects = self._dataset.objects(sample)
        class_mask = self._dataset.class_mask(sample)
        for instances in found.values():
            if instances.masks.shape[1:] != class_mask.shape:
                raise PrmError(
                    f"{sample.image_path} is {instances.masks.shape[1:]} (height, width) and its mask "
                    f"{class_mask.shape}; pictures and masks must be of one size"
                )
        boxes, box_ids = self._dataset.boxes(sample)
        present = np.isin(np.arange(len(self._dataset.classes)), box_ids)
        height, width = class_mask.shape
        positions = strongest_positions(evidence.class_maps, (height, width), self._map_shift)

        self._pictures += 1
        self._objects += int((~objects.crowd).sum())
        self._localisation.update(evidence.class_scores, positions, boxes, box_ids)
        self._classification.update(evidence.class_scores, present)
        for method, metrics in self._methods.items():
            metrics.update(found[method], objects, class_mask)

    def compute(self) -> dict[str, Evaluation]:
        """The figures so far, by method."""
        localisation, classification = self._localisation.compute(), self._classification.compute()
        return {
            method: Evaluation(
                classes=self._dataset.classes,
                pictures=self._pictures,
                objects=self._objects,
                precision=metrics.precision.compute(),
                best_overlap=metrics.best_overlap.compute(),
                best_overlap_objects=metrics.best_overlap.over_objects(),
                semantic=metrics.semantic.compute(),
                localisation=localisation,
                classification=classification,
                coco=metrics.coco.compute(),
            )
            for method, metrics in self._methods.items()
        }


def evaluate(
    segmenters: Mapping[str, Segmenter],
    dataset: GroundTruthDataset,
    samples: Sequence[Sample] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Evaluation]:
    """Measure retrieval methods side by side on the same evidence.

    Args:
        segmenters: By method (see :func:`prm_evaluation.methods.open_segmenters`); the evidence of
            a picture is gathered once, by the first.
        dataset: Pictures and ground truth; its classes are those of the bundle.
        samples: The pictures to measure; all if None.
        advance: Called after each picture.

    Returns:
        The figures of each method.

    Raises:
        PrmError: If a picture cannot be read, or its ground truth has another size.
    """
    first = next(iter(segmenters.values()))
    evaluator = Evaluator(dataset, segmenters, first.settings.map_shift)
    for sample in dataset.samples if samples is None else samples:
        frame = read_picture(sample.image_path)
        evidence = first.evidence(frame)
        size = (frame.shape[0], frame.shape[1])
        found = {method: segmenter.retrieve(evidence, size) for method, segmenter in segmenters.items()}
        evaluator.update(sample, evidence, found)
        advance()
    return evaluator.compute()
