"""Spots of a mask head: where it sees a class, also beside and below what class peaks tell apart.

Class maps have one cell for 32 x 32 pixels, and objects of a cell or two rarely have a peak of their own. A
mask head looks at finer features. It is trained on the model's own masks and often errs where the classifier
sees nothing, so that what it says is weighed with how likely each class is present.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.laplacian import adjacency
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import SpotSettings


@dataclass(frozen=True)
class Spots:
    """Spots of one frame.

    Attributes:
        class_ids: int64 [n].
        seeds: The superpixel of each, where the posterior of its class is highest; int64 [n].
        regions: The superpixels that belong to it, bool [n, K].
        shares: Size of its region as a share of the picture, float32 [n].
        log_means: Mean of the class's log posterior over its region, float32 [n].
    """

    class_ids: NDArray[np.int64]
    seeds: NDArray[np.int64]
    regions: NDArray[np.bool_]
    shares: NDArray[np.float32]
    log_means: NDArray[np.float32]

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Spots:
        """Those at ``index``."""
        return Spots(
            self.class_ids[index],
            self.seeds[index],
            self.regions[index],
            self.shares[index],
            self.log_means[index],
        )

    @classmethod
    def none(cls, superpixels: int) -> Spots:
        """No spots on so many superpixels."""
        nothing, nowhere = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(nothing, nothing, np.zeros((0, superpixels), np.bool_), nowhere, nowhere)


def log_posterior(
    mask_logits: NDArray[np.float32],
    class_strength: NDArray[np.float32],
    background: float,
    prior: float,
) -> NDArray[np.float32]:
    """What each superpixel shows, by the mask head and by which classes are present: float32 [C, K].

    The logarithm of a softmax over the background, raised by ``background``, and all classes, each raised by
    ``prior`` times the logarithm of its chance to be present.

    Args:
        mask_logits: Background and all classes, float32 [K, 1 + C].
        class_strength: Log-odds that each class is present, float32 [C].
        background: Logits added to the background.
        prior: Weight of the presence.
    """
    raised = mask_logits.astype(np.float64)
    raised[:, 0] += background
    raised[:, 1:] -= prior * np.logaddexp(0, -class_strength.astype(np.float64))
    raised -= raised.max(axis=1, keepdims=True)
    raised -= np.log(np.exp(raised).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(raised[:, 1:].T, dtype=np.float32)


def find_spots(
    log_posterior: NDArray[np.float32],
    present: NDArray[np.bool_],
    graph: RegionGraph,
    settings: SpotSettings,
) -> Spots:
    """Spots of all classes at all levels, level by level, class by class.

    Superpixel k is a spot of class c at level τ if no superpixel of the connected part of {j: P_cj >= τ P_ck}
    that holds k is higher; of equally high ones it is the first. The part is its region.

    Args:
        log_posterior: log P, float32 [C, K], <= 0.
        present: Classes that may have spots, bool [C].
        graph: Superpixels.
        settings: ``levels`` and ``least``.
    """
    starts, neighbours, _ = adjacency(graph.edges, np.ones(len(graph.edges)), graph.count)
    steps = np.log(np.array(settings.levels)).astype(np.float32)
    least = np.float32(np.log(settings.least))
    classes = np.flatnonzero(present)
    return Spots(*_spots(log_posterior, classes, starts, neighbours, graph.sizes, steps, least))


@njit(cache=True, nogil=True)
def _spots(log_posterior, classes, starts, neighbours, sizes, steps, least):  # type: ignore[no-untyped-def]
    count = log_posterior.shape[1]
    class_ids = np.empty(64, np.int64)
    seeds = np.empty(64, np.int64)
    regions = np.zeros((64, count), np.bool_)
    shares = np.empty(64, np.float32)
    means = np.empty(64, np.float32)
    inside = np.zeros(count, np.bool_)
    part = np.empty(count, np.int64)
    picture = sizes.sum()
    found = 0
    for step in steps:
        for c in classes:
            values = log_posterior[c]
            for seed in range(count):
                if values[seed] < least:
                    continue
                size, highest = _part(values, starts, neighbours, seed, values[seed] + step, inside, part)
                for n in range(size):
                    inside[part[n]] = False
                if not highest:
                    continue
                if found == len(seeds):
                    class_ids = np.concatenate((class_ids, np.empty(found, np.int64)))
                    seeds = np.concatenate((seeds, np.empty(found, np.int64)))
                    regions = np.concatenate((regions, np.zeros((found, count), np.bool_)))
                    shares = np.concatenate((shares, np.empty(found, np.float32)))
                    means = np.concatenate((means, np.empty(found, np.float32)))
                class_ids[found], seeds[found] = c, seed
                pixels, total = 0.0, 0.0
                for n in range(size):
                    regions[found, part[n]] = True
                    pixels += sizes[part[n]]
                    total += sizes[part[n]] * values[part[n]]
                shares[found], means[found] = pixels / picture, total / pixels
                found += 1
    return class_ids[:found], seeds[:found], regions[:found], shares[:found], means[:found]


@njit(cache=True, nogil=True)
def _part(values, starts, neighbours, seed, least, inside, part):  # type: ignore[no-untyped-def]
    """Fill ``part`` and ``inside`` with what is connected with the seed and at least ``least``.

    Returns:
        How many superpixels these are, and whether the seed is the first of the highest; the search ends with
        the first one that is before it.
    """
    top = values[seed]
    part[0] = seed
    inside[seed] = True
    size, done = 1, 0
    while done < size:
        node = part[done]
        done += 1
        for at in range(starts[node], starts[node + 1]):
            other = neighbours[at]
            if inside[other] or values[other] < least:
                continue
            if values[other] > top or (values[other] == top and other < seed):
                return size, False
            inside[other] = True
            part[size] = other
            size += 1
    return size, True
