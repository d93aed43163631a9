"""Which peaks of the peak table are worth back-propagating."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.evidence import calibration, class_strength
from prm_proposals.settings import RetrievalSettings


def live_peaks(
    peaks: NDArray[np.int64],
    peak_scores: NDArray[np.float32],
    class_maps: NDArray[np.float32],
    class_scores: NDArray[np.float32],
    settings: RetrievalSettings,
) -> NDArray[np.int64]:
    """Rows of the peak table that live, the strongest first.

    A peak lives if its class is present (:func:`class_strength` above ``presence``), its response exceeds
    ``peak_floor`` and reaches ``peak_ratio`` of the best of its class, and fewer than ``max_peaks`` are
    stronger (:func:`~prm_proposals.evidence.peak_strength`).

    Args:
        peaks: (class, row, col), int [K, 3]; unused rows hold -1.
        peak_scores: Response M at each peak, float32 [K], in logits.
        class_maps: M, float32 [C, h, w].
        class_scores: s (Eq. 2), float32 [C].
        settings: Thresholds and the calibration of the classes.

    Returns:
        Indices into ``peaks``, int64 [P].

    Raises:
        ValueError: If the settings calibrate another number of classes.
    """
    _, scales = calibration(settings, len(class_maps))
    live: NDArray[np.int64] = _live(
        peaks,
        peak_scores,
        class_strength(class_maps, class_scores, settings),
        scales,
        np.float32(settings.presence),
        np.float32(settings.peak_floor),
        np.float32(settings.peak_ratio),
        settings.max_peaks,
    )
    return live


@njit(cache=True, nogil=True)
def _live(  # type: ignore[no-untyped-def]
    peaks, peak_scores, class_strength, scales, presence, floor, ratio, max_peaks
):
    best = np.full(len(class_strength), -np.inf, np.float32)
    for row in range(len(peaks)):
        if peaks[row, 0] >= 0:
            best[peaks[row, 0]] = max(best[peaks[row, 0]], peak_scores[row])
    live = np.empty(len(peaks), np.int64)
    strength = np.empty(len(peaks), np.float32)
    count = 0
    for row in range(len(peaks)):
        c, response = peaks[row, 0], peak_scores[row]
        if c < 0 or not (class_strength[c] > presence and response > floor):
            continue
        if ratio > 0 and response < ratio * best[c]:
            continue
        live[count] = row
        strength[count] = class_strength[c] - (best[c] - response) / scales[c]
        count += 1
    return live[:count][np.argsort(-strength[:count], kind="mergesort")][:max_peaks]
