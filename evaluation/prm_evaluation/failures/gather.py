"""Failures of a bundle on pictures, small enough to keep all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from prm_evaluation.datasets import GroundTruthDataset, Sample
from prm_evaluation.failures.causes import Cause, explain
from prm_evaluation.parallel import map_chunks
from prm_evaluation.tables.picture import read_with_truth
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.segmenter import Segmenter

Outline = dict[str, Any]
"""A mask as COCO's compressed run lengths."""


@dataclass(frozen=True)
class Failure:
    """One missed object or wrong prediction.

    Attributes:
        cause: Why.
        caption: What failed, in words.
        image_path: The picture.
        weight: The larger, the more striking: an object's share of its picture, or a prediction's score.
        truth: The object that was missed, or the one nearest to the prediction; None if there is none.
        found: The wrong prediction, or the one of the object's class nearest to it; None if there is none.
    """

    cause: Cause
    caption: str
    image_path: Path
    weight: float
    truth: Outline | None
    found: Outline | None


@dataclass(frozen=True)
class Failures:
    """What failed, and of how much.

    Attributes:
        failures: In the order of the pictures.
        objects: How many objects the pictures have.
        predictions: How many instances were found in them.
    """

    failures: list[Failure]
    objects: int
    predictions: int

    def of(self, cause: Cause) -> list[Failure]:
        """Those of one cause, the most striking first."""
        return sorted(
            (failure for failure in self.failures if failure.cause is cause), key=lambda each: -each.weight
        )


class FailureWork:
    """A bundle on pictures: what one process does.

    Args:
        bundle: Of the data's classes; it retrieves by its own method.
        dataset: Pictures and ground truth.
        backend: Inference engine.
        min_score: Least score of a prediction that counts.
        threshold: IoU from which on an object is found.
    """

    def __init__(
        self, bundle: Bundle, dataset: GroundTruthDataset, backend: str, min_score: float, threshold: float
    ) -> None:
        self._segmenter = Segmenter(bundle, create_backend(backend, threads=1), min_score=min_score)
        self._dataset = dataset
        self._threshold = threshold

    def __call__(self, samples: Sequence[Sample]) -> Failures:
        """Failures on some pictures.

        Raises:
            PrmError: If a picture cannot be read, or its truth has another size.
        """
        parts = [self._of_picture(sample) for sample in samples]
        return together(parts)

    def _of_picture(self, sample: Sample) -> Failures:
        frame, truth = read_with_truth(self._dataset, sample)
        found = self._segmenter(frame)
        seen = truth.masks.any(axis=(1, 2))  # polygons thinner than a pixel leave nothing to find
        masks, class_ids = truth.masks[seen], truth.class_ids[seen]
        explained = explain(found.masks, found.scores, found.class_ids, masks, class_ids, self._threshold)
        missed = [
            Failure(
                cause,
                f"{self._dataset.classes[class_ids[g]]} {cause.title}",
                sample.image_path,
                float(masks[g].mean()),
                _outline(masks, g),
                _outline(found.masks, explained.best[g]),
            )
            for g, cause in explained.missed.items()
        ]
        wrong = [
            Failure(
                cause,
                f"{found.labels[p]} {100 * found.scores[p]:.0f}% {cause.title}",
                sample.image_path,
                float(found.scores[p]),
                _outline(masks, explained.nearest[p]),
                _outline(found.masks, p),
            )
            for p, cause in explained.wrong.items()
        ]
        return Failures([*missed, *wrong], len(masks), len(found))


def gather_failures(
    bundle: Bundle,
    dataset: GroundTruthDataset,
    samples: Sequence[Sample],
    backend: str,
    *,
    min_score: float = 0.0,
    threshold: float = 0.5,
    processes: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Failures:
    """Run a bundle over pictures and explain what it misses and gets wrong; see :class:`FailureWork`.

    Raises:
        PrmError: If a picture cannot be read, or its truth has another size.
    """
    work = partial(FailureWork, bundle, dataset, backend, min_score, threshold)
    return together(list(map_chunks(work, samples, processes, advance)))


def together(parts: Sequence[Failures]) -> Failures:
    """The failures of all parts, in their order."""
    return Failures(
        [failure for part in parts for failure in part.failures],
        sum(part.objects for part in parts),
        sum(part.predictions for part in parts),
    )


def _outline(masks: NDArray[np.bool_], index: int | np.intp) -> Outline | None:
    if index < 0:
        return None
    encoded: Outline = coco.encode(np.asfortranarray(masks[index].astype(np.uint8)))
    return encoded
