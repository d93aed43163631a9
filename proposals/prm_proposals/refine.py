"""Regions that were found without proposals choose among them, and so do every peak and every spot."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prm_proposals.evidence import Evidence, Retrieved, class_strength
from prm_proposals.gallery import Gallery
from prm_proposals.groundwork import Groundwork
from prm_proposals.nms import mask_nms
from prm_proposals.random_walk import RandomWalk
from prm_proposals.settings import RefineSettings, RetrievalSettings, SpotSettings
from prm_proposals.spots import Spots, find_spots, log_posterior
from prm_proposals.walk import WalkRetrieval

_LEAST_FIT = 1e-3  # keeps the logarithm finite


@dataclass(frozen=True)
class Regions:
    """Where instances are believed to be before proposals say where they end.

    Attributes:
        class_ids: int64 [n].
        scores: Raw scores in logits, float32 [n].
        peak_indices: The best peak of each, int64 [n], into ``Evidence.peaks``.
        weights: Weight of each superpixel, float32 [n, K], in [0, 1], none all 0.
        owners: For each peak the region that it belongs to, -1 for none; int64 [P].
        spots: Spots of a mask head, which have no peak.
        log_posterior: What the mask head says of each class, float32 [C, K]; [0, K] without spots.
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    peak_indices: NDArray[np.int64]
    weights: NDArray[np.float32]
    owners: NDArray[np.int64]
    spots: Spots
    log_posterior: NDArray[np.float32]

    def on(self, origin: NDArray[np.integer]) -> Regions:
        """The same regions on superpixels that were cut from theirs; seeds stay numbers of the old ones.

        Args:
            origin: For each superpixel the one that it was cut from, int [K'].
        """
        return replace(
            self,
            weights=self.weights[:, origin],
            spots=replace(self.spots, regions=self.spots.regions[:, origin]),
            log_posterior=self.log_posterior[:, origin],
        )


class RefinedRetrieval:
    """Lets regions choose among the proposals: those of the random walk, of every peak, and of spots.

    Proposals follow the borders of objects where a region of class responses spills over. How well region and
    proposal agree, and how large they are, also says how far an instance can be trusted. The walk's regions
    come first. What a peak retrieves by itself, as in Algorithm 1, follows where mask NMS leaves it: an
    object among others of its class that the walk did not tell apart, or one that it gave no region at all.
    Spots of a mask head, if there is one, come last: mostly objects too small to have a peak.
    """

    def __init__(self, walk: WalkRetrieval, settings: RetrievalSettings) -> None:
        """Keep the walk whose regions are refined, and the settings."""
        self.walk = walk
        self.settings = settings

    def prepare(self, evidence: Evidence) -> Evidence:
        """The evidence with the walk's system and the spots."""
        return replace(evidence, groundwork=self._groundwork(evidence))

    def _groundwork(self, evidence: Evidence) -> Groundwork:
        known = evidence.groundwork
        if known is not None and known.settings is self.settings:
            return known
        walk = RandomWalk.on(evidence.graph, self.settings.walk)
        return Groundwork(self.settings, walk, *_spots(evidence, self.settings))

    def __call__(self, evidence: Evidence) -> Retrieved:
        """Instances of one frame, best first; without proposals those of the walk."""
        if len(evidence.gallery) == 0 or len(evidence.peaks) == 0:
            return self.walk(evidence)
        return self.choose(self.regions(evidence), evidence.gallery, evidence.graph.sizes)

    def regions(self, evidence: Evidence) -> Regions:
        """The walk's regions, then those of single peaks; and spots. Without a live peak there are none."""
        groundwork = self._groundwork(evidence)
        walked = self.walk.walk(evidence, groundwork.walk)
        found, owners = walked.found, walked.found.owners.copy()
        alone = peak_regions(walked.belief, walked.mass, evidence.graph.sizes)
        reaching = np.flatnonzero(alone.any(axis=1))
        groupless = owners[reaching] < 0
        owners[reaching[groupless]] = len(found.scores) + np.flatnonzero(groupless)
        strength = evidence.peak_strength(self.settings)[reaching] - self.settings.refine.single_peak
        return Regions(
            class_ids=np.concatenate([found.class_ids, evidence.peaks[reaching, 0].astype(np.int64)]),
            scores=np.concatenate([found.scores, strength]),
            peak_indices=np.concatenate([found.peak_indices, reaching]),
            weights=np.concatenate([found.members.astype(np.float32), alone[reaching]]),
            owners=owners,
            spots=groundwork.spots,
            log_posterior=groundwork.log_posterior,
        )

    def choose(self, regions: Regions, gallery: Gallery, sizes: NDArray[np.float32]) -> Retrieved:
        """The proposal that fits each region best, then mask NMS.

        Args:
            regions: On the gallery's superpixels.
            gallery: At least one proposal.
            sizes: Pixels of each superpixel, float32 [K].
        """
        settings = self.settings.refine
        least = -np.inf
        if settings.least_score is not None:
            least = settings.least_score + settings.chance * np.log(len(gallery))
        spots = self._worth_asking(regions.spots, least)
        count, log_posterior = len(regions.scores), regions.log_posterior[spots.class_ids]
        weights = np.concatenate([regions.weights, spots.regions * np.exp(log_posterior)])
        fits = fit(weights, gallery, sizes, settings.tightness)
        behind = settings.rank * np.arange(len(gallery)) / len(gallery)
        chosen = (fits - behind).argmax(axis=1)
        best, members = fits[np.arange(len(chosen)), chosen], gallery.members[chosen]
        areas = np.maximum(members @ sizes, 1)  # superpixels may be lost where a picture is small
        shares = areas / sizes.sum()
        inside = np.einsum("nk,nk->n", members[count:] * sizes, log_posterior) / areas[count:]
        scores = np.concatenate(
            [
                regions.scores + _trust(best[:count], shares[:count], settings),
                self._spot_scores(best[count:], shares[count:], inside),
            ]
        )
        class_ids = np.concatenate([regions.class_ids, spots.class_ids])
        kept, winner = mask_nms(members, scores, class_ids, sizes, self.settings.nms_iou)
        # what suppresses another is the better one: all that are let go are the last
        kept = kept[scores[kept] > least]
        winner = np.where(winner < len(kept), winner, -1)
        owners = regions.owners
        seeds = np.concatenate([np.full(count, -1), spots.seeds])
        return Retrieved(
            class_ids=class_ids[kept],
            scores=scores[kept],
            peak_indices=_peaks(regions.peak_indices, scores, kept, winner),
            members=members[kept],
            owners=np.where(owners < 0, -1, winner[owners] if len(winner) else -1),
            seeds=seeds[kept],
        )

    def _worth_asking(self, spots: Spots, least: float) -> Spots:
        """The spots that would exceed ``least`` if their own region were a proposal."""
        fitting = np.ones(len(spots.shares), np.float32)
        return spots.select(self._spot_scores(fitting, spots.shares, spots.log_means) > least)

    def _spot_scores(
        self,
        fits: NDArray[np.float32],
        shares: NDArray[np.floating],
        log_posterior: NDArray[np.floating],
    ) -> NDArray[np.float32]:
        """Scores of spots that take proposals, float32 [n].

        Args:
            fits: How well the proposals fit, [n].
            shares: Their shares of the picture, [n].
            log_posterior: Mean of the class's log posterior inside them, [n].
        """
        settings = self.settings.spots
        scores = settings.offset + settings.posterior * log_posterior + _trust(fits, shares, settings)
        return np.asarray(scores, dtype=np.float32)


def _spots(evidence: Evidence, settings: RetrievalSettings) -> tuple[Spots, NDArray[np.float32]]:
    """The spots of a frame and the log posterior that they are of, float32 [C, K]."""
    logits, count = evidence.mask_logits, evidence.graph.count
    if logits is None or len(evidence.peaks) == 0 or not settings.spots.levels:
        return Spots.none(count), np.zeros((0, count), np.float32)
    strength = class_strength(evidence.class_maps, evidence.class_scores, settings)
    believed = log_posterior(logits, strength, settings.walk.background, settings.spots.prior)
    return find_spots(believed, strength > settings.spots.presence, evidence.graph, settings.spots), believed


def _peaks(
    peak_indices: NDArray[np.int64],
    scores: NDArray[np.float32],
    kept: NDArray[np.int64],
    winner: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The peak of each kept region, int64 [m]: a spot takes that of the best region it suppressed, or -1.

    Regions with a peak, of which ``peak_indices`` are, come before all spots.
    """
    losers = np.flatnonzero(winner[: len(peak_indices)] >= 0)
    losers = losers[np.argsort(scores[losers], kind="stable")]
    best = np.full(len(kept), -1)
    best[winner[losers]] = peak_indices[losers]  # of several the last, the best
    of_peaks = kept < len(peak_indices)
    best[of_peaks] = peak_indices[kept[of_peaks]]
    return best


def peak_regions(
    belief: NDArray[np.float64], mass: NDArray[np.float32], sizes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Where each peak's object is: the class-aware and the instance-aware cue of Eq. 6 in one soft region.

    ``w_pi = √(F_pi · d_pi / max_j d_pj)``, d the PRM mass per pixel: the geometric mean of what the walk says
    about the peak's class and of what the peak's PRM says about its own object.

    Args:
        belief: F of each peak's class, float64 [P, K], in [0, 1].
        mass: PRM mass of each peak, float32 [P, K].
        sizes: Pixels of each superpixel, float32 [K].

    Returns:
        float32 [P, K], in [0, 1]; all 0 for a PRM without mass.
    """
    density = mass / sizes
    highest = density.max(axis=1, keepdims=True, initial=0.0)
    relative = density / np.where(highest > 0, highest, 1)
    return np.sqrt(np.clip(belief, 0, 1) * relative).astype(np.float32)


def fit(
    regions: NDArray[np.float32], gallery: Gallery, sizes: NDArray[np.float32], tightness: float
) -> NDArray[np.float32]:
    """How well each proposal S fits each region M: ``(1 + t) |M ∩ S| / (|M| + t |S|)``, float32 [n, N].

    1 where both are the same; Dice's coefficient for t = 1. A larger t takes the smaller of two proposals
    that miss equally much. A soft region counts by its weights.

    Args:
        regions: Weight of each superpixel, float32 [n, K], in [0, 1], none all 0.
        gallery: N proposals.
        sizes: Pixels of each superpixel, float32 [K].
        tightness: t > 0.
    """
    weights = regions * sizes.astype(np.float32)
    sums = gallery.sums(np.concatenate([weights, sizes[None]]))
    shared, areas = sums[:-1], sums[-1]
    total = weights.sum(axis=1)[:, None] + np.float32(tightness) * areas
    return np.asarray(np.float32(1 + tightness) * shared / total, dtype=np.float32)


def _trust(
    fits: NDArray[np.float32], area: NDArray[np.floating], settings: RefineSettings | SpotSettings
) -> NDArray[np.float32]:
    """Logits to add to the scores, float32 [n]: fit and share of the picture, each by its logarithm."""
    logits = settings.agreement * np.log(np.maximum(fits, _LEAST_FIT)) + settings.area * np.log(area)
    return np.asarray(logits, dtype=np.float32)
