"""Peak stimulation (Eq. 1-3) cell by cell, on one class response map."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.floating]
Cell = tuple[int, int]


def window_around(M: Map, cell: Cell, window: int) -> list[Cell]:
    """The cells of the window that lie on the map, in row-major order."""
    r = window // 2
    return [(i, j) for i, j in np.ndindex(*M.shape) if abs(i - cell[0]) <= r and abs(j - cell[1]) <= r]


def is_maximum(M: Map, cell: Cell, window: int) -> bool:
    return all(M[cell] >= M[other] for other in window_around(M, cell, window))


def peaks(M: Map, window: int) -> list[Cell]:
    """Maxima of their windows; of several tied ones in a window only the first."""
    found = []
    for cell in np.ndindex(*M.shape):
        before = [other for other in window_around(M, cell, window) if other < cell]
        if is_maximum(M, cell, window) and not any(is_maximum(M, other, window) for other in before):
            found.append(cell)
    return found


def valid_peaks(M: Map, window: int, peak_filter: str) -> list[Cell]:
    """Peaks that reach the lower median or the mean of the map, taken without rounding."""
    values = sorted(Fraction(float(value)) for value in M.flat)
    threshold = {
        "median": values[(len(values) - 1) // 2],
        "mean": sum(values) / len(values),
        "none": values[0],
    }[peak_filter]
    return [cell for cell in peaks(M, window) if Fraction(float(M[cell])) >= threshold]


def score(M: Map, window: int, peak_filter: str) -> float:
    """Eq. 2."""
    cells = valid_peaks(M, window, peak_filter)
    return float(sum(float(M[cell]) for cell in cells) / len(cells))


def gradient(M: Map, grad_s: float, window: int, peak_filter: str) -> Map:
    """Eq. 3, with G of Eq. 1 for Dirac's delta."""
    cells = valid_peaks(M, window, peak_filter)
    delta = np.zeros_like(M)
    for i, j in cells:
        delta[i, j] = np.asarray(grad_s, M.dtype) / np.asarray(len(cells), M.dtype)
    return delta
