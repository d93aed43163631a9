"""Soft proposals (Zhu et al., ICCV 2017, Eq. 1-2) cell by cell: the walk itself, step by step."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def transition(U: NDArray[np.float64], epsilon: float) -> NDArray[np.float64]:
    """Chance [hw, hw] to go to cell i (row) from cell j (column), of features [K, h, w]."""
    cells = list(np.ndindex(*U.shape[1:]))
    side = math.sqrt(len(cells))
    A = np.zeros((len(cells), len(cells)))
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            dissimilarity = math.sqrt(sum((float(u[a]) - float(u[b])) ** 2 for u in U))
            distance = math.dist(a, b)
            A[i, j] = dissimilarity * math.exp(-(distance**2) / (2 * (epsilon * side) ** 2))
    return A / A.sum(0)


def proposal(U: NDArray[np.float64], epsilon: float = 0.15, steps: int = 2000) -> NDArray[np.float64]:
    """Where the walker is after so many steps from anywhere, [h, w]."""
    at = np.full(U[0].size, 1 / U[0].size)
    step = transition(U, epsilon)
    for _ in range(steps):
        at = step @ at
    return at.reshape(U.shape[1:])


def scores(
    U: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64], epsilon: float = 0.15
) -> NDArray[np.float64]:
    """Class scores [C] as the published network has them: features coupled, summed, then classified."""
    coupled = U * proposal(U, epsilon)
    return weight @ coupled.sum((1, 2)) + bias
