"""What retrieval takes and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.groundwork import Groundwork
from prm_proposals.maps import cell_centres
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import RetrievalSettings

_SMALLEST_CHANCE = 1e-12  # keeps log-odds finite


@dataclass(frozen=True)
class Evidence:
    """Everything that Algorithm 1 knows about one frame. All maps cover the whole frame.

    Attributes:
        class_maps: Class response maps M, float32 [C, h, w], in logits.
        class_scores: Aggregated class scores s (Eq. 2), float32 [C], in logits.
        peaks: (class, row, col) of the live peaks in class-map cells, int [P, 3].
        peak_scores: Response M at each peak, float32 [P], in logits.
        prms: Peak Response Maps R, float32 [P, h2, w2], each >= 0 with sum 1 (or all 0).
        graph: The frame's superpixels.
        gallery: Segment proposals on the same superpixels.
        mask_logits: What a mask head says each superpixel shows, background first, float32 [K, 1 + C], in
            logits; None without such a head.
        groundwork: What :meth:`Retrieval.prepare` worked out.
    """

    class_maps: NDArray[np.float32]
    class_scores: NDArray[np.float32]
    peaks: NDArray[np.int64]
    peak_scores: NDArray[np.float32]
    prms: NDArray[np.float32]
    graph: RegionGraph
    gallery: Gallery
    mask_logits: NDArray[np.float32] | None = None
    groundwork: Groundwork | None = None

    def peak_strength(self, settings: RetrievalSettings) -> NDArray[np.float32]:
        """:func:`peak_strength` of the live peaks, float32 [P]."""
        return peak_strength(self.class_maps, self.class_scores, self.peaks[:, 0], self.peak_scores, settings)


@dataclass(frozen=True)
class Retrieved:
    """Instances as unions of superpixels, best first.

    Attributes:
        class_ids: int64 [n].
        scores: Raw scores in logits, float32 [n]; ``retrieval.probability`` calibrates them.
        peak_indices: The best peak of each instance, int64 [n], into ``Evidence.peaks``; -1 where a mask head
            found it without one.
        members: Superpixels of each instance, bool [n, K].
        owners: For each peak the instance that it belongs to or was merged into, -1 for none; int64 [P].
        seeds: Where a mask head sees most of each instance that it found, a superpixel; -1 for those that
            peaks found; int64 [n]. None: peaks found all.
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    peak_indices: NDArray[np.int64]
    members: NDArray[np.bool_]
    owners: NDArray[np.int64]
    seeds: NDArray[np.int64] | None = None

    def instance_prms(self, prms: NDArray[np.float32], merge: bool) -> NDArray[np.float32]:
        """The PRM of each instance, float32 [n, h2, w2], each with sum 1, or all 0 where it has no peak.

        Args:
            prms: ``Evidence.prms``.
            merge: Add up the PRMs of all peaks that an instance owns to that of its best peak.
        """
        has_peak = self.peak_indices >= 0
        if not merge:
            if has_peak.all():
                return prms[self.peak_indices]
            return np.where(has_peak[:, None, None], prms[self.peak_indices], np.float32(0))
        ownership = (self.owners == np.arange(len(self.scores))[:, None]).astype(np.float32)
        ownership[np.flatnonzero(has_peak), self.peak_indices[has_peak]] = 1
        merged = np.tensordot(ownership, prms, axes=1)
        total = merged.sum(axis=(1, 2), keepdims=True)
        return np.asarray(merged / np.where(total > 0, total, 1), dtype=np.float32)


def positions(
    found: Retrieved, evidence: Evidence, size: tuple[int, int], shift: float = 0.0
) -> NDArray[np.float32]:
    """Where each instance was found, (x, y), float32 [n, 2]: its peak, or where a mask head sees most of it.

    Args:
        found: Retrieved from ``evidence``.
        evidence: One frame.
        size: (height, width) of the frame in pixels.
        shift: ``RetrievalSettings.map_shift``.
    """
    grid = evidence.class_maps.shape[1], evidence.class_maps.shape[2]
    at = np.zeros((len(found.scores), 2))
    has_peak = found.peak_indices >= 0
    at[has_peak] = cell_centres(evidence.peaks[found.peak_indices[has_peak], 1:], grid, size, shift)
    if found.seeds is not None and not has_peak.all():
        top, bottom, left, right = evidence.graph.pooling.boxes[found.seeds[~has_peak]].T
        height, width = evidence.graph.labels.shape
        at[~has_peak] = np.stack([(left + right) * size[1] / width, (top + bottom) * size[0] / height], 1) / 2
    return at.astype(np.float32)


class Retrieval(Protocol):
    """A way to turn evidence into instance masks."""

    def prepare(self, evidence: Evidence) -> Evidence:
        """The evidence with what can be worked out of it before its Peak Response Maps are there.

        It saves time later, and need not be called.

        Args:
            evidence: One frame; its ``prms`` are not looked at.
        """
        ...

    def __call__(self, evidence: Evidence) -> Retrieved:
        """Instances of one frame, best first."""
        ...


def raw_strength(class_maps: NDArray[np.float32], class_scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How present each class is, float32 [C], on the network's own scale: ``max M_c + s_c``.

    The aggregate alone loses single small objects, the maximum alone rewards noise.
    """
    nothing = np.zeros(len(class_maps), np.float32)
    strength: NDArray[np.float32] = _relative_strength(class_maps, class_scores, nothing, nothing + 1)
    return strength


@njit(cache=True, nogil=True)
def _relative_strength(class_maps, class_scores, offsets, scales):  # type: ignore[no-untyped-def]
    strength = np.empty(len(class_maps), np.float32)
    for c in range(len(class_maps)):
        highest = class_maps[c, 0, 0]
        for value in class_maps[c].flat:
            if value > highest or np.isnan(value):
                highest = value
        strength[c] = (highest + class_scores[c] - offsets[c]) / scales[c]
    return strength


def softmax_log_odds(class_scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-odds of each class in the softmax over the class scores, float32 [C].

    With one class a picture a network learns which class it is rather than, and nothing about how large a
    response means presence. A single class has nothing to be told from and keeps its score.

    Example:
        >>> softmax_log_odds(np.float32([2.0, 0.0])).round(3).tolist()
        [2.0, -2.0]
    """
    if len(class_scores) == 1:
        return class_scores
    weights = np.exp(class_scores.astype(np.float64) - class_scores.max())
    p = np.clip(weights / weights.sum(), _SMALLEST_CHANCE, 1 - _SMALLEST_CHANCE)
    return np.asarray(np.log(p / (1 - p)), dtype=np.float32)


def class_strength(
    class_maps: NDArray[np.float32], class_scores: NDArray[np.float32], settings: RetrievalSettings
) -> NDArray[np.float32]:
    """How present each class is, in logits, float32 [C]: ``(strength_c - offset_c) / scale_c``.

    ``settings.presence_from`` says what the strength is: :func:`raw_strength` or :func:`softmax_log_odds`.

    Raises:
        ValueError: If the settings calibrate another number of classes.
    """
    offsets, scales = calibration(settings, len(class_maps))
    if settings.presence_from == "maps":
        strength: NDArray[np.float32] = _relative_strength(class_maps, class_scores, offsets, scales)
        return strength
    return np.asarray((softmax_log_odds(class_scores) - offsets) / scales, dtype=np.float32)


def peak_strength(
    class_maps: NDArray[np.float32],
    class_scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    peak_scores: NDArray[np.float32],
    settings: RetrievalSettings,
) -> NDArray[np.float32]:
    """How strong each peak is, in logits, float32 [P]: the strength of its class, less what the class's best
    peak has over it. This is the raw score of an instance by its best peak.

    Args:
        class_maps: M, float32 [C, h, w].
        class_scores: s (Eq. 2), float32 [C].
        class_ids: Class of each peak, int64 [P].
        peak_scores: Response M at each peak, float32 [P].
        settings: The calibration of the classes.
    """
    strength = class_strength(class_maps, class_scores, settings)
    _, scales = calibration(settings, len(strength))
    found: NDArray[np.float32] = strength_of_peaks(
        strength, scales, np.asarray(class_ids, np.int64), np.asarray(peak_scores, np.float32)
    )
    return found


@njit(cache=True, nogil=True)
def strength_of_peaks(class_strength, scales, class_ids, peak_scores):  # type: ignore[no-untyped-def]
    """:func:`peak_strength` for compiled code that knows how strong classes are: float32 [P]."""
    best = np.full(len(class_strength), -np.inf, np.float32)
    for peak in range(len(class_ids)):
        best[class_ids[peak]] = max(best[class_ids[peak]], peak_scores[peak])
    strength = np.empty(len(class_ids), np.float32)
    for peak in range(len(class_ids)):
        c = class_ids[peak]
        strength[peak] = class_strength[c] - (best[c] - peak_scores[peak]) / scales[c]
    return strength


def calibration(settings: RetrievalSettings, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Offsets and scales of ``count`` classes, float32 [C] each.

    Raises:
        ValueError: If the settings calibrate another number of classes.
    """
    return _calibration(settings.class_offsets, settings.class_scales, count)


@lru_cache(maxsize=8)
def _calibration(
    class_offsets: tuple[float, ...], class_scales: tuple[float, ...], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    offsets = np.array(class_offsets or (0.0,) * count, np.float32)
    scales = np.array(class_scales or (1.0,) * count, np.float32)
    if len(offsets) != count or len(scales) != count:
        raise ValueError(
            f"class_offsets and class_scales must hold one value per class ({count}) or none, got "
            f"{len(class_offsets)} and {len(class_scales)}"
        )
    for values in (offsets, scales):
        values.flags.writeable = False
    return offsets, scales
