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
from prm_proposals.settings import SpotSettings


@dataclass(frozen=True)
class Spots:
    """Spots of one frame.

    Attributes:
        class_ids: int64 [n].
        seeds: The superpixel of each, where the posterior of its class is highest; int64 [n].
        regions: The superpixels that belong to it, bool [n, K].
    """

    class_ids: NDArray[np.int64]
    seeds: NDArray[np.int64]
    regions: NDArray[np.bool_]


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
    posterior: NDArray[np.float32],
    present: NDArray[np.bool_],
    edges: NDArray[np.int32],
    settings: SpotSettings,
) -> Spots:
    """Spots of all classes at all levels, level by level, class by class.

    Superpixel k is a spot of class c at level τ if no superpixel of the connected part of {j: P_cj >= τ P_ck}
    that holds k is higher; of equally high ones it is the first. The part is its region.

    Args:
        posterior: P, float32 [C, K], in [0, 1].
        present: Classes that may have spots, bool [C].
        edges: Neighbouring superpixels, int32 [E, 2].
        settings: ``levels`` and ``least``.
    """
    count = posterior.shape[1]
    starts, neighbours, _ = adjacency(edges, np.ones(len(edges)), count)
    classes = np.flatnonzero(present)
    found = _spots(
        posterior, classes, starts, neighbours, np.array(settings.levels, np.float64), settings.least
    )
    return Spots(*found)


@njit(cache=True, nogil=True)
def _spots(posterior, classes, starts, neighbours, levels, least):  # type: ignore[no-untyped-def]
    count = posterior.shape[1]
    class_ids = np.empty(64, np.int64)
    seeds = np.empty(64, np.int64)
    regions = np.zeros((64, count), np.bool_)
    inside = np.zeros(count, np.bool_)
    part = np.empty(count, np.int64)
    found = 0
    for level in levels:
        for c in classes:
            values = posterior[c]
            for seed in range(count):
                top = values[seed]
                if top < least:
                    continue
                size, highest = _part(values, starts, neighbours, seed, level * top, inside, part)
                for n in range(size):
                    inside[part[n]] = False
                if not highest:
                    continue
                if found == len(seeds):
                    class_ids = np.concatenate((class_ids, np.empty(found, np.int64)))
                    seeds = np.concatenate((seeds, np.empty(found, np.int64)))
                    regions = np.concatenate((regions, np.zeros((found, count), np.bool_)))
                class_ids[found], seeds[found] = c, seed
                for n in range(size):
                    regions[found, part[n]] = True
                found += 1
    return class_ids[:found], seeds[:found], regions[:found]


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
