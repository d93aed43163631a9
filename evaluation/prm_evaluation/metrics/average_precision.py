"""Average precision as VOC computes it since 2010."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def average_precision(scores: ArrayLike, matches: ArrayLike, positives: int) -> float:
    """Area under the interpolated precision-recall curve (chainercv's ``use_07_metric=False``).

    Predictions are ranked by falling score; where scores are equal the earlier prediction comes first.
    Precision at a recall is the best precision at that recall or beyond.

    Args:
        scores: [n] confidences of the predictions of one class over all pictures.
        matches: [n] whether each prediction is a true positive.
        positives: How many objects there are to find.

    Returns:
        A value in 0..1; ``nan`` where there is nothing to find.

    Example:
        >>> average_precision([0.9, 0.8, 0.7], [True, False, True], positives=2)
        0.8333333333333333
    """
    if positives == 0:
        return float("nan")
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    matched = np.asarray(matches, dtype=bool)[order]
    true_positives = np.cumsum(matched)
    precision = true_positives / np.arange(1, len(matched) + 1)
    interpolated = np.maximum.accumulate(precision[::-1])[::-1]
    return float(interpolated[matched].sum() / positives)
