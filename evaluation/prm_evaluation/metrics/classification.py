"""Multi-label image classification."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.average_precision import average_precision


class ClassificationPrecision:
    """Average precision per class of ranking all pictures by their class score."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._scores: list[NDArray[np.floating]] = []
        self._present: list[NDArray[np.bool_]] = []

    def update(self, class_scores: NDArray[np.floating], present: NDArray[np.bool_]) -> None:
        """Add one picture.

        Args:
            class_scores: [C] scores s_c of the picture (Eq. 2).
            present: bool [C], which classes are in the picture.
        """
        self._scores.append(class_scores)
        self._present.append(present)

    def compute(self) -> NDArray[np.float64]:
        """AP per class, [C]; ``nan`` for classes that no picture has."""
        scores = np.array(self._scores).reshape(-1, self._num_classes)
        present = np.array(self._present, dtype=bool).reshape(-1, self._num_classes)
        columns = zip(scores.T, present.T, strict=True)
        return np.array([average_precision(s, p, int(p.sum())) for s, p in columns])
