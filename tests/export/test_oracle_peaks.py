from __future__ import annotations

import numpy as np

from prm_export.oracle_peaks import find_peaks, peak_table


def test_a_peak_is_the_first_maximum_of_its_window() -> None:
    M = np.array([[1.0, 0, 0, 3], [0, 0, 0, 3], [2, 2, 0, 0]])
    assert np.argwhere(find_peaks(M)).tolist() == [[0, 0], [0, 3], [2, 0]]
    assert np.argwhere(find_peaks(M, 5)).tolist() == [[0, 3], [2, 0]]
    assert find_peaks(M, 1).all()


def test_nan_is_no_peak_and_hides_none() -> None:
    M = np.array([[np.nan, 1.0, 0], [0, 0, np.nan]])
    assert np.argwhere(find_peaks(M)).tolist() == [[0, 1]]


def test_the_table_lists_the_best_peaks_first() -> None:
    M = np.zeros((2, 3, 5))
    M[0, 0, 0], M[0, 2, 4], M[1, 1, 2] = 1, 3, 2
    assert peak_table(M, 3, 2).tolist() == [[0, 2, 4], [1, 1, 2]]
    assert peak_table(M, 3, 5, threshold=0.5).tolist() == [
        [0, 2, 4],
        [1, 1, 2],
        [0, 0, 0],
        [-1, -1, -1],
        [-1, -1, -1],
    ]
