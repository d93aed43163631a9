"""Peaks as the paper defines them, found by looking at every window in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def find_peaks(M: NDArray[Any], window: int = 3) -> NDArray[np.bool_]:
    """Mark the cells of a map that are the maximum of their window, the first one where several tie.

    Args:
        M: One class response map, float [h, w]. NaN is never a peak.
        window: Side of the window in cells, odd; clipped at the borders.

    Returns:
        bool [h, w].
    """
    h, w = M.shape
    r = window // 2

    def neighbours(i: int, j: int) -> list[tuple[int, int]]:
        rows, columns = range(max(0, i - r), min(h, i + r + 1)), range(max(0, j - r), min(w, j + r + 1))
        return [(k, m) for k in rows for m in columns if not np.isnan(M[k, m])]

    maxima = [
        (i, j)
        for i, j in np.ndindex(h, w)
        if not np.isnan(M[i, j]) and all(M[i, j] >= M[cell] for cell in neighbours(i, j))
    ]
    peaks = np.zeros((h, w), bool)
    for i, j in maxima:
        peaks[i, j] = not any((k, m) < (i, j) and (k, m) in maxima for k, m in neighbours(i, j))
    return peaks


def peak_table(M: NDArray[Any], window: int, max_peaks: int, threshold: float = -np.inf) -> NDArray[np.int64]:
    """The table that ``prm::PeakFind`` has to make of M [C, h, w].

    Returns:
        int64 [max_peaks, 3], rows (class, row, column), best first, -1 where there is no further peak.
    """
    peaks = [(c, i, j) for c in range(len(M)) for i, j in np.argwhere(find_peaks(M[c], window))]
    found = [peak for peak in peaks if M[peak] >= threshold]
    found.sort(key=lambda peak: -M[peak])
    table = np.full((max_peaks, 3), -1, np.int64)
    table[: len(found)] = np.array(found[:max_peaks], np.int64).reshape(-1, 3)
    return table
