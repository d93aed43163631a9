"""Random walk from the class maps or a mask head over superpixels, split by grouped peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.evidence import Evidence, Retrieved
from prm_proposals.grouping import group_by_class
from prm_proposals.maps import superpixel_sums, upsample
from prm_proposals.parts import connected_parts
from prm_proposals.random_walk import RandomWalk
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

    def walk(self, evidence: Evidence, walk: RandomWalk | None = None) -> Walked:
        """The instances of one frame and what they were made from.

        Every part goes by the best peak of its group; the largest owns the group's peaks.

        Args:
            evidence: One frame.
            walk: On its superpixels, by these settings, if there is one already.
        """
        graph, peak_classes = evidence.graph, evidence.peaks[:, 0]
        if len(peak_classes) == 0:
            nothing, nowhere = np.zeros(0, np.int64), np.zeros((0, graph.count), np.float32)
            found = Retrieved(nothing, np.zeros(0, np.float32), nothing, nowhere.astype(bool), nothing)
            return Walked(found, nowhere.astype(np.float64), nowhere)
        mass = graph.pooling.mass(evidence.prms)
        owners = np.full(len(peak_classes), -1, np.int64)
        settings = self.settings.walk
        classes, class_of_peak = np.unique(peak_classes, return_inverse=True)
        if evidence.mask_logits is None:
            prior = class_prior(evidence.class_maps[classes], graph, settings, self.settings.map_shift)
        else:
            prior = mask_prior(evidence.mask_logits, classes, settings)

        group_of_peak, class_of_group = group_by_class(
            evidence.class_maps, evidence.peaks, evidence.peak_scores, mass, settings
        )
        groups = _Groups(
            np.searchsorted(classes, class_of_group),
            group_of_peak == np.arange(len(class_of_group))[:, None],
        )
        # all classes and all splits are right-hand sides of one system
        splits = prior[:, 1 + groups.classes] * _responsibilities(mass, groups)
        walk = walk or RandomWalk.on(graph, settings)
        walked = walk.spread(np.concatenate([prior, splits[:, groups.several]], axis=1))
        winner: NDArray[np.int64] = _winners(walked, groups.classes, groups.several, len(classes))
        members, group_of_part = connected_parts(winner, graph, settings.least_part)
        responses = np.where(groups.peaks, evidence.peak_scores, -np.inf)
        best = responses.argmax(axis=1)[group_of_part]
        scores = evidence.peak_strength(self.settings)
        order = np.argsort(-scores[best], kind="stable")
        best, members, group_of_part = best[order], members[order], group_of_part[order]
        seen, largest = np.unique(group_of_part, return_index=True)
        of_group = np.full(len(groups.classes), -1)
        of_group[seen] = largest
        grouped = groups.peaks.any(axis=0)
        owners[grouped] = of_group[groups.peaks.argmax(axis=0)[grouped]]
        found = Retrieved(peak_classes[best].astype(np.int64), scores[best], best, members, owners)
        return Walked(found, walked.T[1 + class_of_peak], mass)


@njit(cache=True, nogil=True)
def _winners(walked, class_of_group, several, classes):  # type: ignore[no-untyped-def]
    """The group that each superpixel goes to, -1 for the background.

    Background, classes and the groups of classes with several, in this order, are what was spread.
    """
    winner = np.full(len(walked), -1, np.int64)
    for k in range(len(walked)):
        region = walked[k, : 1 + classes].argmax() - 1
        column, highest = 1 + classes, -np.inf
        for group in range(len(class_of_group)):
            claim = 1.0
            if several[group]:
                claim = walked[k, column]
                column += 1
            if class_of_group[group] == region and claim > highest:
                winner[k], highest = group, claim
    return winner


@dataclass(frozen=True)
class _Groups:
    """Groups of peaks, class by class.

    Attributes:
        classes: Class of each group, as its position among the live ones, int64 [G].
        peaks: Which peaks each group holds, bool [G, P].
    """

    classes: NDArray[np.int64]
    peaks: NDArray[np.bool_]

    @property
    def several(self) -> NDArray[np.bool_]:
        """Whether the class of each group has others, bool [G]."""
        return np.asarray(np.bincount(self.classes)[self.classes] > 1)


def _responsibilities(mass: NDArray[np.float32], groups: _Groups) -> NDArray[np.float64]:
    """Share r_g of each group of a class by PRM mass, float64 [K, G]; equal where no PRM reaches."""
    mean = (groups.peaks / groups.peaks.sum(axis=1, keepdims=True)) @ mass.astype(np.float64)
    siblings = (groups.classes[:, None] == groups.classes).astype(np.float64)
    reach = siblings @ mean
    equal = 1 / siblings.sum(axis=1, keepdims=True)
    return np.asarray(np.where(reach > 0, mean / np.where(reach > 0, reach, 1), equal).T)
