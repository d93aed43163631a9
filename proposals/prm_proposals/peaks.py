"""Which peaks of the peak table are worth back-propagating."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prm_proposals.evidence import class_strength
from prm_proposals.settings import RetrievalSettings


def live_peaks(
    peaks: NDArray[np.int64],
    peak_scores: NDArray[np.float32],
    class_maps: NDArray[np.float32],
    class_scores: NDArray[np.float32],
    settings: RetrievalSettings,
    classes: Sequence[str],
) -> NDArray[np.int64]:
    """Rows of the peak table that live, best response first.

    A peak lives if its class is present (``max M_c + s_c`` above ``presence``), its response exceeds
    ``peak_floor`` and reaches ``peak_ratio`` of the best of its class, and ``max_peaks`` are not yet reached.

    Args:
        peaks: (class, row, col), int [K, 3]; unused rows hold -1.
        peak_scores: Response M at each peak, float32 [K], in logits.
        class_maps: M, float32 [C, h, w].
        class_scores: s (Eq. 2), float32 [C].
        settings: Thresholds.
        classes: Class names, to look up ``settings.class_presence``.

    Returns:
        Indices into ``peaks``, int64 [P].

    Raises:
        ValueError: If ``classes`` does not name every class map, or ``class_presence`` an unknown class.
    """
    if len(classes) != len(class_maps):
        raise ValueError(f"expected one class name per class map ({len(class_maps)}), got {len(classes)}")
    unknown = set(settings.class_presence) - set(classes)
    if unknown:
        raise ValueError(f"class_presence names unknown classes {sorted(unknown)}; known are {list(classes)}")
    threshold = np.array([settings.class_presence.get(name, settings.presence) for name in classes])
    present = class_strength(class_maps, class_scores) > threshold

    class_ids = peaks[:, 0]
    used = class_ids >= 0
    best = np.full(len(classes), -np.inf, np.float32)
    np.maximum.at(best, class_ids[used], peak_scores[used])
    lives = used & present[class_ids] & (peak_scores > settings.peak_floor)
    lives &= peak_scores >= settings.peak_ratio * best[class_ids]
    index = np.flatnonzero(lives)
    order = np.argsort(-peak_scores[index], kind="stable")
    return index[order][: settings.max_peaks].astype(np.int64)
