"""One picture with everything that the tables measure on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.datasets import GroundTruthDataset, Sample
from prm_evaluation.methods import Method
from prm_proposals.evidence import Evidence, Retrieved
from prm_proposals.retrieval import create_retrieval, probability
from prm_proposals.settings import RetrievalSettings
from prm_runtime.console import PrmError
from prm_runtime.masks import frame_masks
from prm_runtime.sources.pictures import read_picture


@dataclass(frozen=True)
class Truth:
    """Ground truth of one picture.

    Attributes:
        masks: Its objects, bool [G, H, W].
        class_ids: int64 [G].
        class_mask: uint8 [H, W]: 0 background, 1 + class id, 255 void.
        boxes: Boxes of the annotations in pixels, x0, y0 inclusive, x1, y1 exclusive, int64 [B, 4].
        box_class_ids: int64 [B].
    """

    masks: NDArray[np.bool_]
    class_ids: NDArray[np.int64]
    class_mask: NDArray[np.uint8]
    boxes: NDArray[np.int64]
    box_class_ids: NDArray[np.int64]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.class_mask.shape[0], self.class_mask.shape[1]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Area of each object as a share of the picture, float64 [G]."""
        return np.asarray(self.masks.mean(axis=(1, 2)), dtype=np.float64)


def read_with_truth(dataset: GroundTruthDataset, sample: Sample) -> tuple[NDArray[np.uint8], Truth]:
    """A picture, RGB uint8 [H, W, 3], and its ground truth.

    Raises:
        PrmError: If the picture cannot be read, or its truth has another size.
    """
    frame = read_picture(sample.image_path)
    masks, class_ids = dataset.instance_masks(sample)
    boxes, box_class_ids = dataset.boxes(sample)
    truth = Truth(masks, class_ids, dataset.class_mask(sample), boxes, box_class_ids)
    if frame.shape[:2] != truth.size:
        raise PrmError(
            f"{sample.image_path} is {frame.shape[:2]} (height, width) and its mask {truth.size}; "
            "pictures and masks must be of one size"
        )
    return frame, truth


@dataclass(frozen=True)
class Predicted:
    """Instance masks at the size of the picture: masks bool [n, H, W], scores [n], class ids int64 [n]."""

    masks: NDArray[np.bool_]
    scores: NDArray[np.floating]
    class_ids: NDArray[np.int64]


@dataclass(frozen=True)
class MeasuredPicture:
    """A picture, its truth and what one bundle says about it.

    Attributes:
        frame: RGB, uint8 [H, W, 3].
        truth: Ground truth.
        evidence: What the network found.
        settings: The bundle's retrieval settings.
        found: Instances by retrieval method.
    """

    frame: NDArray[np.uint8]
    truth: Truth
    evidence: Evidence
    settings: RetrievalSettings
    found: Mapping[Method, Predicted]


def unions_in_frame(
    members: NDArray[np.bool_],
    labels: NDArray[np.int32],
    size: tuple[int, int],
    scores: NDArray[np.floating],
    class_ids: NDArray[np.int64],
) -> Predicted:
    """Unions of superpixels, bool [n, K], as masks of the picture; those that leave no pixel are dropped.

    Args:
        members: bool [n, K].
        labels: int32 [h, w], values 0..K-1.
        size: (height, width) of the picture in pixels.
        scores: [n].
        class_ids: [n].
    """
    masks = frame_masks(members, labels, size)
    seen = masks.any(axis=(1, 2))
    return Predicted(masks[seen], scores[seen], class_ids[seen])


def retrieve(evidence: Evidence, settings: RetrievalSettings, size: tuple[int, int]) -> Predicted:
    """Instances of a picture of ``size`` (height, width), as ``Segmenter.retrieve`` has them."""
    return in_frame(create_retrieval(settings)(evidence), evidence, settings, size)


def in_frame(
    found: Retrieved, evidence: Evidence, settings: RetrievalSettings, size: tuple[int, int]
) -> Predicted:
    """Retrieved instances in a picture of ``size`` (height, width), with calibrated scores."""
    scores = probability(found.scores, settings)
    return unions_in_frame(found.members, evidence.graph.labels, size, scores, found.class_ids)
