"""What retrieval takes and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.regions import RegionGraph


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
    """

    class_maps: NDArray[np.float32]
    class_scores: NDArray[np.float32]
    peaks: NDArray[np.int64]
    peak_scores: NDArray[np.float32]
    prms: NDArray[np.float32]
    graph: RegionGraph
    gallery: Gallery


@dataclass(frozen=True)
class Retrieved:
    """Instances as unions of superpixels, best first.

    Attributes:
        class_ids: int64 [n].
        scores: Raw scores in logits, float32 [n]; ``retrieval.probability`` calibrates them.
        peak_indices: The best peak of each instance, int64 [n], into ``Evidence.peaks``.
        members: Superpixels of each instance, bool [n, K].
        owners: For each peak the instance that it belongs to or was merged into, -1 for none; int64 [P].
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    peak_indices: NDArray[np.int64]
    members: NDArray[np.bool_]
    owners: NDArray[np.int64]

    def instance_prms(self, prms: NDArray[np.float32], merge: bool) -> NDArray[np.float32]:
        """The PRM of each instance, float32 [n, h2, w2], each with sum 1.

        Args:
            prms: ``Evidence.prms``.
            merge: Add up the PRMs of all peaks that an instance owns instead of its best peak's only.
        """
        if not merge:
            return prms[self.peak_indices]
        ownership = (self.owners == np.arange(len(self.scores))[:, None]).astype(np.float32)
        merged = np.tensordot(ownership, prms, axes=1)
        total = merged.sum(axis=(1, 2), keepdims=True)
        return np.asarray(merged / np.where(total > 0, total, 1), dtype=np.float32)


class Retrieval(Protocol):
    """A way to turn evidence into instance masks."""

    def __call__(self, evidence: Evidence) -> Retrieved:
        """Instances of one frame, best first."""
        ...


def class_strength(class_maps: NDArray[np.float32], class_scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How present each class is, in logits, float32 [C]: ``max M_c + s_c``.

    The aggregate alone loses single small objects, the maximum alone rewards noise.
    """
    strength: NDArray[np.float32] = class_maps.max(axis=(1, 2)) + class_scores
    return strength


def instance_scores(evidence: Evidence) -> NDArray[np.float32]:
    """Raw score of an instance whose best peak is p, float32 [P]: the class's strength, less what the
    class's best peak has over p.
    """
    classes = evidence.peaks[:, 0]
    strength = class_strength(evidence.class_maps, evidence.class_scores)
    best = np.full(len(strength), -np.inf, np.float32)
    np.maximum.at(best, classes, evidence.peak_scores)
    return np.asarray(strength[classes] - (best[classes] - evidence.peak_scores), dtype=np.float32)
