"""Pointwise localisation (Sec. 4.1 of the paper, after Oquab et al., "Is object localization for free?")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.average_precision import average_precision
from prm_proposals.maps import cell_centres


def strongest_positions(
    class_maps: NDArray[np.floating], frame_size: tuple[int, int], shift: float = 0.0
) -> NDArray[np.float64]:
    """Where in the frame each class responds most.

    The maximum of a bilinearly upsampled map lies at the centre of its strongest cell, so none is upsampled.

    Args:
        class_maps: [C, h, w], the class response maps M, covering the whole frame.
        frame_size: (height, width) of the frame in pixels.
        shift: ``RetrievalSettings.map_shift``.

    Returns:
        [C, 2] positions (x, y) in pixels of the frame; of equal maxima the first in row-major order.
    """
    _, rows, columns = class_maps.shape
    strongest = class_maps.reshape(len(class_maps), -1).argmax(axis=1)
    cells = np.stack(np.divmod(strongest, columns), axis=1)
    return cell_centres(cells, (rows, columns), frame_size, shift)


class PointwiseLocalisation:
    """AP of "the class is in the picture and its strongest response lies on one of its objects".

    For each class every picture is one prediction, ranked by its class score. It is a true positive if the
    position lies in a ground-truth box of the class, widened by the tolerance. A class that is present and
    localised wrongly is both a false positive and a missed object.

    Args:
        num_classes: C.
        tolerance: Pixels by which boxes are widened on each side (18 in Oquab et al.; the paper states none).
    """

    def __init__(self, num_classes: int, tolerance: float = 0.0) -> None:
        self._tolerance = tolerance
        self._num_classes = num_classes
        self._positives = np.zeros(num_classes, dtype=np.int64)
        self._scores: list[NDArray[np.floating]] = []
        self._hits: list[NDArray[np.bool_]] = []

    def update(
        self,
        class_scores: NDArray[np.floating],
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | NDArray[np.integer],
        box_class_ids: NDArray[np.integer],
    ) -> None:
        """Add one picture.

        Args:
            class_scores: [C] scores of the picture.
            positions: [C, 2] strongest position (x, y) of each class in pixels.
            boxes: [g, 4] ground truth x0, y0 (inclusive), x1, y1 (exclusive) in pixels.
            box_class_ids: [g].
        """
        hit = np.zeros(self._num_classes, dtype=bool)
        for (x0, y0, x1, y1), class_id in zip(boxes, box_class_ids, strict=True):
            x, y = positions[class_id]
            margin = self._tolerance
            hit[class_id] |= bool(x0 - margin <= x < x1 + margin and y0 - margin <= y < y1 + margin)
        self._positives[np.unique(box_class_ids)] += 1
        self._scores.append(class_scores)
        self._hits.append(hit)

    def compute(self) -> NDArray[np.float64]:
        """AP per class, [C]; ``nan`` for classes that no picture has."""
        scores = np.array(self._scores).reshape(-1, self._num_classes)
        hits = np.array(self._hits, dtype=bool).reshape(-1, self._num_classes)
        columns = zip(scores.T, hits.T, self._positives, strict=True)
        return np.array([average_precision(s, h, int(positives)) for s, h, positives in columns])
