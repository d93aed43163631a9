"""Which class is found where an object of another one is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class InstanceConfusion:
    """Counts objects by true class and by the class under which they were found.

    By falling score each prediction, whatever its class, goes to the object that it overlaps most; it finds
    the object if the overlap reaches the threshold and no better-scored prediction has found it before.

    Args:
        num_classes: C.
        threshold: IoU from which on a prediction finds an object.
    """

    def __init__(self, num_classes: int, threshold: float = 0.25) -> None:
        self._threshold = threshold
        self._counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)

    def update(
        self,
        iou: NDArray[np.float32],
        scores: NDArray[np.floating],
        class_ids: NDArray[np.integer],
        truth_class_ids: NDArray[np.integer],
    ) -> None:
        """Add one picture; arguments as in :meth:`prm_evaluation.metrics.InstancePrecision.update`."""
        nothing = len(self._counts) - 1
        free = np.ones(len(truth_class_ids), dtype=bool)
        for prediction in np.argsort(-scores, kind="stable"):
            row = nothing
            if len(truth_class_ids):
                best = int(iou[prediction].argmax())
                if iou[prediction, best] >= self._threshold and free[best]:
                    free[best] = False
                    row = int(truth_class_ids[best])
            self._counts[row, class_ids[prediction]] += 1
        self._counts[:-1, nothing] += np.bincount(truth_class_ids[free], minlength=nothing)

    def compute(self) -> NDArray[np.int64]:
        """Counts by true class (rows) and found class (columns), int64 [C + 1, C + 1].

        The last row holds predictions that found no object, the last column objects that nothing found.
        """
        return self._counts.copy()
