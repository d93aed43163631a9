"""Random walk from the class maps or a mask head over superpixels, split by grouped peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from prm_proposals.evidence import Evidence, Retrieved
from prm_proposals.grouping import group_peaks
from prm_proposals.maps import resample_mass, superpixel_sums, upsample
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import RetrievalSettings, WalkSettings


def class_prior(
    class_maps: NDArray[np.float32], graph: RegionGraph, settings: WalkSettings, shift: float = 0.0
) -> NDArray[np.float64]:
    """Prior Y of background and each class per superpixel, float64 [K, 1 + C], rows with sum 1.

    A softmax over 0 for the background and ``(S_c / max M_c − level) / scale`` for class c, with S_c the mean
    of the bilinear class map over the superpixel.

    Args:
        class_maps: M of the live classes, float32 [C, h, w], each with a positive maximum.
        graph: Superpixels.
        settings: ``foreground_level`` and ``foreground_scale``.
        shift: ``RetrievalSettings.map_shift``.
    """
    sums = superpixel_sums(upsample(class_maps, graph.labels.shape, shift), graph.labels, graph.count)
    relative = sums / graph.sizes / class_maps.max(axis=(1, 2))[:, None]
    logits = np.zeros((graph.count, 1 + len(class_maps)))
    logits[:, 1:] = ((relative - settings.foreground_level) / settings.foreground_scale).T
    return _softmax(logits)


def mask_prior(
    mask_logits: NDArray[np.float32], classes: NDArray[np.integer], settings: WalkSettings
) -> NDArray[np.float64]:
    """Prior Y of background and each class per superpixel, float64 [K, 1 + n], by what a mask head says.

    A softmax over the background, raised by ``background``, and the classes that are present alone: which
    ones are is the classifier's to say, the mask head says where.

    Args:
        mask_logits: Background and all classes, float32 [K, 1 + C].
        classes: The n classes that are present.
        settings: ``background``.
    """
    logits = mask_logits[:, np.concatenate([[0], 1 + classes])].astype(np.float64)
    logits[:, 0] += settings.background
    return _softmax(logits)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def random_walk(
    prior: NDArray[np.float64], graph: RegionGraph, settings: WalkSettings
) -> NDArray[np.float64]:
    """Spread priors over the region graph: solve ``(diag(u) + D − W) F = diag(u) Y`` for F, float64 [K, n].

    ``w_ij = border length · exp(−boundary / boundary_scale) · exp(−‖Δ Lab‖ / lab_scale)``,
    ``u_i = restart · pixels``. F_i is the prior at which a walker that starts in superpixel i gives up.

    Args:
        prior: Y, float64 [K, n].
        graph: Superpixels and borders.
        settings: Scales and ``restart``.
    """
    i, j = graph.edges.T
    colour = np.sqrt(((graph.lab[i] - graph.lab[j]) ** 2).sum(axis=1))
    connection = graph.border.astype(np.float64) * np.exp(
        -graph.boundary / settings.boundary_scale - colour / settings.lab_scale
    )
    restart = settings.restart * graph.sizes.astype(np.float64)
    upper = coo_array((connection, (i, j)), shape=(graph.count, graph.count))
    connections = (upper + upper.T).tocsc()
    system = diags_array(restart + connections.sum(axis=1)) - connections
    # symmetric and diagonally dominant: no pivots are needed, so that the factors stay sparse
    factors = splu(system.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factors.solve(restart[:, None] * prior), dtype=np.float64)


@dataclass(frozen=True)
class Walked:
    """What a random walk says about one frame.

    Attributes:
        found: The connected parts of what each group of peaks wins, best first; they never overlap. Peaks in
            no group have no owner.
        belief: F of each live peak's class, float64 [P, K].
        mass: PRM mass of each live peak per superpixel, float32 [P, K], rows with sum 1 (or all 0).
    """

    found: Retrieved
    belief: NDArray[np.float64]
    mass: NDArray[np.float32]


class WalkRetrieval:
    """Class regions by random walk, each split among its groups of peaks."""

    def __init__(self, settings: RetrievalSettings) -> None:
        """Keep the settings."""
        self.settings = settings

    def __call__(self, evidence: Evidence) -> Retrieved:
        """Instances of one frame, best first."""
        return self.walk(evidence).found

    def walk(self, evidence: Evidence) -> Walked:
        """The instances of one frame and what they were made from.

        Every part goes by the best peak of its group; the largest owns the group's peaks.
        """
        graph, peak_classes = evidence.graph, evidence.peaks[:, 0]
        mass = superpixel_sums(resample_mass(evidence.prms, graph.labels.shape), graph.labels, graph.count)
        owners = np.full(len(peak_classes), -1, np.int64)
        if len(peak_classes) == 0:
            nothing = np.zeros(0, np.int64)
            nowhere = np.zeros((0, graph.count), bool)
            found = Retrieved(nothing, np.zeros(0, np.float32), nothing, nowhere, owners)
            return Walked(found, np.zeros((0, graph.count)), mass)
        settings = self.settings.walk
        classes, class_of_peak = np.unique(peak_classes, return_inverse=True)
        if evidence.mask_logits is None:
            prior = class_prior(evidence.class_maps[classes], graph, settings, self.settings.map_shift)
        else:
            prior = mask_prior(evidence.mask_logits, classes, settings)

        grouped = [self._groups(evidence, mass, np.flatnonzero(peak_classes == c)) for c in classes]
        # Y_c · r_g of every group g of every class that has several
        shares = [
            prior[:, column, None] * _responsibilities(mass, groups)
            for column, groups in enumerate(grouped, start=1)
            if len(groups) > 1
        ]
        # All classes and all splits are right-hand sides of one system: it is factorised once per frame.
        walked = random_walk(np.concatenate([prior, *shares], axis=1), graph, settings)
        region = walked[:, : 1 + len(classes)].argmax(axis=1)
        column_of_split = 1 + len(classes)

        scores = evidence.peak_strength(self.settings)
        best_peaks, members, owned = [], [], []
        for column, groups in enumerate(grouped, start=1):
            inside = region == column
            split = np.zeros(graph.count, np.int64)
            if len(groups) > 1:
                split = walked[:, column_of_split : column_of_split + len(groups)].argmax(axis=1)
                column_of_split += len(groups)
            for g, peaks in enumerate(groups):
                parts = connected_parts(inside & (split == g), graph, settings.least_part)
                members += parts
                best_peaks += [int(peaks[evidence.peak_scores[peaks].argmax()])] * len(parts)
                owned += [peaks if part is parts[0] else peaks[:0] for part in parts]
        best = np.array(best_peaks, np.int64)
        order = np.argsort(-scores[best], kind="stable")
        for instance, source in enumerate(order):
            owners[owned[source]] = instance
        best = best[order]
        stacked = np.array(members, bool).reshape(-1, graph.count)[order]
        found = Retrieved(peak_classes[best].astype(np.int64), scores[best], best, stacked, owners)
        return Walked(found, walked.T[1 + class_of_peak], mass)

    def _groups(
        self, evidence: Evidence, mass: NDArray[np.float32], peaks: NDArray[np.int64]
    ) -> list[NDArray[np.int64]]:
        """The peaks of one class by the object they lie on; weak ones beside the best are in no group."""
        settings, responses = self.settings.walk, evidence.peak_scores[peaks]
        peaks = peaks[responses >= settings.group_ratio * responses.max()]
        class_map = evidence.class_maps[evidence.peaks[peaks[0], 0]]
        groups = group_peaks(
            class_map, evidence.peaks[peaks, 1:], evidence.peak_scores[peaks], mass[peaks], settings
        )
        return [peaks[groups == g] for g in range(groups.max() + 1)]


def connected_parts(member: NDArray[np.bool_], graph: RegionGraph, least: float) -> list[NDArray[np.bool_]]:
    """The connected parts of a union of superpixels, the largest first: an object is in one piece.

    Args:
        member: bool [K].
        graph: Superpixels.
        least: Parts below this share of the picture are left out, except the largest.

    Returns:
        bool [K] each; none if ``member`` is empty.
    """
    i, j = graph.edges.T
    inside = member[i] & member[j]
    joined = coo_array((np.ones(inside.sum()), (i[inside], j[inside])), shape=(graph.count, graph.count))
    _, part = connected_components(joined, directed=False)
    pixels = np.bincount(part, weights=graph.sizes * member)
    order = np.argsort(-pixels, kind="stable")
    kept = [k for place, k in enumerate(order) if pixels[k] > (least * graph.sizes.sum() if place else 0)]
    return [member & (part == k) for k in kept]


def _responsibilities(mass: NDArray[np.float32], groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Share r_g of each group in each superpixel by PRM mass, float64 [K, G]; equal where no PRM reaches."""
    total = np.stack([mass[peaks].mean(axis=0, dtype=np.float64) for peaks in groups], axis=1)
    reach = total.sum(axis=1, keepdims=True)
    return np.where(reach > 0, total / np.where(reach > 0, reach, 1), 1 / len(groups))
