"""What a variant of a network loses against float32 and exact maps, on pictures with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from prm_evaluation.datasets import Sample
from prm_evaluation.evaluate import Evaluation, Evaluator
from prm_evaluation.ground_truth import first_samples, open_ground_truth, protocol
from prm_evaluation.methods import METHODS, open_segmenters
from prm_runtime.bundle import Bundle
from prm_runtime.console import stderr
from prm_runtime.instances import SHOWN, Instances
from prm_runtime.manifest import Manifest
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

FIGURES = ("mAP25", "mAP50", "mAP75", "ABO", "mIoU")


@dataclass(frozen=True)
class Comparison:
    """Two bundles on the same pictures.

    Attributes:
        reference: Figures of the reference, by retrieval method.
        found: Figures of the variant.
        same: Share of the reference's instances that the variant has with the same mask, by method.
        same_shown: The same of the reference's instances with a score of :data:`SHOWN` at least.
        protocol: What was measured on, in one line.
    """

    reference: Mapping[str, Evaluation]
    found: Mapping[str, Evaluation]
    same: Mapping[str, float]
    same_shown: Mapping[str, float]
    protocol: str

    def recorded_in(self, manifest: Manifest) -> Manifest:
        """The variant's manifest with its figures in percent."""
        metrics = {
            f"{method} {name}": round(value, 2)
            for method, evaluation in self.found.items()
            for name, value in evaluation.summary().items()
        }
        measured = {"metrics": metrics, "metrics_protocol": self.protocol}
        return manifest.model_copy(update={"provenance": manifest.provenance.model_copy(update=measured)})

    def table(self, name: str) -> Table:
        """Figures of both and the difference, for people."""
        table = Table(
            "metric (%)", "fp32, exact", name, "difference", title=self.protocol, title_justify="left"
        )
        for method in self.found:
            before, after = self.reference[method].summary(), self.found[method].summary()
            for figure in FIGURES:
                cells = (before[figure], after[figure])
                change = f"{cells[1] - cells[0]:+.2f}"
                table.add_row(f"{method} {figure}", *(f"{value:.2f}" for value in cells), change)
            table.add_row(f"{method} same masks", "", f"{100 * self.same[method]:.2f}", "")
            shown = f"{100 * self.same_shown[method]:.2f}"
            table.add_row(f"{method} same masks, score from {SHOWN} on", "", shown, "")
            table.add_section()
        return table


def compare(
    reference: Path, variants: Sequence[Path], root: Path, split: str, limit: int | None = None
) -> list[Comparison]:
    """Evaluate bundles of one network side by side.

    Args:
        reference: The bundle to compare with.
        variants: Those that may have lost something.
        root: VOC tree or COCO data set with masks.
        split: Its split.
        limit: Take the first pictures only.

    Returns:
        One comparison per variant.

    Raises:
        PrmError: If the data cannot be used.
    """
    bundles = [Bundle.open(path) for path in (reference, *variants)]
    settings = bundles[0].manifest.retrieval
    dataset = open_ground_truth(root, split, bundles[0].manifest.classes)
    samples = first_samples(dataset, limit)
    segmenters = [open_segmenters(bundle, settings, METHODS, "onnxruntime") for bundle in bundles]
    evaluators = [Evaluator(dataset, METHODS, settings.map_shift) for _ in bundles]
    tallies = [{method: Tally() for method in METHODS} for _ in variants]
    for sample in track(samples, f"bundles on {split}", console=stderr, transient=True):
        frame = read_picture(sample.image_path)
        before, *after = (
            _retrieve(by_method, frame, sample, evaluator)
            for by_method, evaluator in zip(segmenters, evaluators, strict=True)
        )
        for tally, found in zip(tallies, after, strict=True):
            for method in METHODS:
                tally[method].add(before[method], found[method])
    expected, *figures = (evaluator.compute() for evaluator in evaluators)
    basis = protocol(dataset, split, len(samples))
    return [
        Comparison(
            expected,
            found,
            {method: tally[method].share for method in METHODS},
            {method: tally[method].share_shown for method in METHODS},
            basis,
        )
        for found, tally in zip(figures, tallies, strict=True)
    ]


@dataclass
class Tally:
    """Instances of the reference, and how many of them the variant has; all of them, and those shown."""

    total: int = 0
    same: int = 0
    total_shown: int = 0
    same_shown: int = 0

    def add(self, before: Instances, after: Instances) -> None:
        """Count one picture."""
        shown = before.select(before.scores >= SHOWN)
        self.total += len(before)
        self.same += same_masks(before, after)
        self.total_shown += len(shown)
        self.same_shown += same_masks(shown, after)

    @property
    def share(self) -> float:
        """Of all instances those that the variant has too."""
        return self.same / max(self.total, 1)

    @property
    def share_shown(self) -> float:
        """Of the instances that are shown those that the variant has too."""
        return self.same_shown / max(self.total_shown, 1)


def same_masks(before: Instances, after: Instances) -> int:
    """How many instances are in both, with the same class and the same pixels."""
    left = list(range(len(after)))
    same = 0
    for class_id, mask in zip(before.class_ids, before.masks, strict=True):
        for n in left:
            if after.class_ids[n] == class_id and np.array_equal(after.masks[n], mask):
                left.remove(n)
                same += 1
                break
    return same


def _retrieve(
    segmenters: Mapping[str, Segmenter], frame: NDArray[np.uint8], sample: Sample, evaluator: Evaluator
) -> dict[str, Instances]:
    evidence = next(iter(segmenters.values())).evidence(frame)
    size = (frame.shape[0], frame.shape[1])
    found = {method: segmenter.retrieve(evidence, size) for method, segmenter in segmenters.items()}
    evaluator.update(sample, evidence, found)
    return found
