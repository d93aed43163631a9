"""Regions that were found without proposals choose among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prm_proposals.evidence import Evidence, Retrieval, Retrieved
from prm_proposals.nms import mask_nms
from prm_proposals.settings import RefineSettings, RetrievalSettings

_LEAST_FIT = 1e-3  # keeps the logarithm finite


class RefinedRetrieval:
    """Gives each instance of another retrieval the proposal that fits its region best, then mask NMS.

    Proposals follow the borders of objects where a region of class responses spills over. How well region and
    proposal agree, and how large they are, also says how far an instance can be trusted.
    """

    def __init__(self, inner: Retrieval, settings: RetrievalSettings) -> None:
        """Keep the retrieval whose regions are refined, and the settings."""
        self.inner = inner
        self.settings = settings

    def __call__(self, evidence: Evidence) -> Retrieved:
        """Instances of one frame, best first; without proposals those of the other retrieval."""
        found, gallery, sizes = self.inner(evidence), evidence.gallery, evidence.graph.sizes
        if len(found.scores) == 0 or len(gallery) == 0:
            return found
        settings = self.settings.refine
        fits = fit(found.members, gallery.members, sizes, settings.tightness)
        behind = settings.rank * np.arange(len(gallery)) / len(gallery)
        chosen = (fits - behind).argmax(axis=1)
        members = gallery.members[chosen]
        scores = found.scores + _trust(
            fits[np.arange(len(chosen)), chosen], members @ sizes / sizes.sum(), settings
        )
        kept, winner = mask_nms(members, scores, found.class_ids, sizes, self.settings.nms_iou)
        return replace(
            found,
            class_ids=found.class_ids[kept],
            scores=scores[kept],
            peak_indices=found.peak_indices[kept],
            members=members[kept],
            owners=np.where(found.owners < 0, -1, winner[found.owners]),
        )


def fit(
    regions: NDArray[np.bool_], proposals: NDArray[np.bool_], sizes: NDArray[np.float32], tightness: float
) -> NDArray[np.float32]:
    """How well each proposal S fits each region M: ``(1 + t) |M ∩ S| / (|M| + t |S|)``, float32 [n, N].

    1 where both are the same; Dice's coefficient for t = 1. A larger t takes the smaller of two proposals
    that miss equally much.

    Args:
        regions: Unions of superpixels, bool [n, K], none empty.
        proposals: Unions of superpixels, bool [N, K].
        sizes: Pixels of each superpixel, float32 [K].
        tightness: t > 0.
    """
    shared = (regions * sizes.astype(np.float32)) @ proposals.T.astype(np.float32)
    total = (regions @ sizes)[:, None] + tightness * (proposals @ sizes)[None, :]
    return np.asarray((1 + tightness) * shared / total, dtype=np.float32)


def _trust(
    fits: NDArray[np.float32], area: NDArray[np.floating], settings: RefineSettings
) -> NDArray[np.float32]:
    """Logits to add to the scores, float32 [n]: fit and share of the picture, each by its logarithm."""
    logits = settings.agreement * np.log(np.maximum(fits, _LEAST_FIT)) + settings.area * np.log(area)
    return np.asarray(logits, dtype=np.float32)
