"""Raw scores to probabilities: a logistic fit by Newton's method (Platt scaling)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RIDGE = 1e-3
"""Weight of a prior on the two coefficients: keeps them finite where the classes are separable."""


def fit_logistic(scores: NDArray[np.floating], matches: NDArray[np.bool_]) -> tuple[float, float]:
    """Offset and scale so that ``1 / (1 + exp(-(score - offset) / scale))`` is the chance of a match.

    Args:
        scores: Raw scores, [n], in logits.
        matches: bool [n], whether each prediction was a true positive.

    Returns:
        ``(offset, scale)``, ``scale > 0``.

    Raises:
        ValueError: If all or none of the predictions match, or higher scores do not match more often: then no
            rising curve fits.
    """
    if matches.all() or not matches.any():
        raise ValueError("calibration needs predictions that match and predictions that do not")
    x = np.asarray(scores, dtype=np.float64)
    centre, spread = x.mean(), x.std() or 1.0
    design = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)
    weights = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
        gradient = design.T @ (matches - chance) - RIDGE * weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights += step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    slope, intercept = weights
    if slope <= 0:
        raise ValueError("higher scores do not match more often: the scores of this bundle rank nothing")
    return float(centre - intercept / slope * spread), float(spread / slope)
