"""Ground truth counted per superpixel, so that a candidate setting is measured in microseconds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.overlap import iou_from_counts
from prm_proposals.evidence import Retrieved
from prm_proposals.regions import RegionGraph


@dataclass(frozen=True)
class RegionTruth:
    """Ground truth of one picture on its K superpixels, in pixels of the label grid.

    Attributes:
        class_ids: int64 [G].
        instance_pixels: Pixels of each instance in each superpixel, float32 [G, K].
        class_pixels: Pixels of background and classes in each superpixel, void left out, float32 [1 + C, K].
    """

    class_ids: NDArray[np.int64]
    instance_pixels: NDArray[np.float32]
    class_pixels: NDArray[np.float32]

    @classmethod
    def count(
        cls,
        graph: RegionGraph,
        masks: NDArray[np.bool_],
        class_ids: NDArray[np.int64],
        class_mask: NDArray[np.uint8],
        num_classes: int,
    ) -> RegionTruth:
        """Count masks bool [G, H, W] and the class mask uint8 [H, W] on the superpixels of a picture."""
        grid = [_on_grid(mask.astype(np.uint8), graph) for mask in masks]
        classes = _on_grid(class_mask, graph)
        instance_pixels = [_per_region(graph, inside != 0) for inside in grid]
        class_pixels = [_per_region(graph, classes == value) for value in range(1 + num_classes)]
        shape = (-1, graph.count)
        return cls(
            np.asarray(class_ids, dtype=np.int64),
            np.array(instance_pixels, np.float32).reshape(shape),
            np.array(class_pixels, np.float32).reshape(shape),
        )

    def iou(self, graph: RegionGraph, retrieved: Retrieved) -> NDArray[np.float32]:
        """Overlap of retrieved instances and ground truth, float32 [n, G]."""
        members = retrieved.members.astype(np.float32)
        return iou_from_counts(
            members @ self.instance_pixels.T, members @ graph.sizes, self.instance_pixels.sum(axis=1)
        )

    def confusion(self, retrieved: Retrieved) -> NDArray[np.int64]:
        """Pixels by true class (rows) and merged predicted class (columns), int64 [1 + C, 1 + C]."""
        predicted = np.zeros(self.class_pixels.shape[1], dtype=np.int64)
        for instance in np.argsort(-retrieved.scores, kind="stable")[::-1]:
            predicted[retrieved.members[instance]] = 1 + retrieved.class_ids[instance]
        chosen = np.eye(len(self.class_pixels), dtype=np.float32)[predicted]
        return np.asarray(self.class_pixels @ chosen, dtype=np.int64)


def _on_grid(mask: NDArray[np.uint8], graph: RegionGraph) -> NDArray[np.uint8]:
    height, width = graph.labels.shape
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _per_region(graph: RegionGraph, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(graph.labels[inside], minlength=graph.count)
