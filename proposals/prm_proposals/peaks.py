"""Which peaks of the peak table are worth back-propagating."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.evidence import calibration, class_strength, strength_of_peaks
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
    used = np.flatnonzero(peaks[:, 0] >= 0)
    class_ids, responses = peaks[used, 0], peak_scores[used]
    strength = strength_of_peaks(class_strength, scales, class_ids, responses)
    best = np.full(len(class_strength), -np.inf, np.float32)
    for n in range(len(used)):
        best[class_ids[n]] = max(best[class_ids[n]], responses[n])
    lives = (class_strength[class_ids] > presence) & (responses > floor)
    if ratio > 0:
        lives &= responses >= ratio * best[class_ids]
    strongest = np.argsort(-strength[lives], kind="mergesort")
    return used[lives][strongest][:max_peaks]
