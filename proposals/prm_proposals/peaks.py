"""Which peaks of the peak table are worth back-propagating."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prm_proposals.evidence import class_strength, strength_of_peaks
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
    classes = class_strength(class_maps, class_scores, settings)
    present = classes > settings.presence
    if not present.any():
        return np.zeros(0, np.int64)
    used = np.flatnonzero(peaks[:, 0] >= 0)
    class_ids, responses = peaks[used, 0], peak_scores[used]
    best = np.full(len(present), -np.inf, np.float32)
    np.maximum.at(best, class_ids, responses)
    lives = present[class_ids] & (responses > settings.peak_floor)
    if settings.peak_ratio > 0:
        lives &= responses >= settings.peak_ratio * best[class_ids]
    strength = strength_of_peaks(classes, class_ids, responses, settings)
    order = np.argsort(-strength[lives], kind="stable")
    strongest: NDArray[np.int64] = used[lives][order][: settings.max_peaks]
    return strongest
