"""Pseudo-masks of the training pictures: which superpixels show which of a picture's classes.

Nothing but image-level labels goes in. At first the class maps say where the classes are, later the mask head
that was trained on what they said; a random walk over the superpixels settles both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prm_proposals.random_walk import RandomWalk
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import WalkSettings
from prm_proposals.walk import mask_prior


@dataclass(frozen=True)
class LabelledRegions:
    """The superpixels of one picture and what is known about them without any mask.

    Attributes:
        graph: Superpixels, without their label map: the walk needs none, and it would fill the memory.
        classes: Ids of the classes that the picture is labelled with, int64 [n].
        prior: Background and these classes by the class maps, float32 [K, 1 + n], rows with sum 1.
        first: Number of the picture's first superpixel among those of all pictures.
    """

    graph: RegionGraph
    classes: NDArray[np.int64]
    prior: NDArray[np.float32]
    first: int

    @property
    def rows(self) -> slice:
        """The picture's superpixels among those of all pictures."""
        return slice(self.first, self.first + self.graph.count)


def without_label_map(graph: RegionGraph) -> RegionGraph:
    """The graph for walks only."""
    return replace(graph, labels=graph.labels[:0])


def pseudo_labels(
    pictures: Iterable[LabelledRegions],
    settings: WalkSettings,
    confidence: float,
    mask_logits: Callable[[slice], NDArray[np.float32]] | None = None,
) -> NDArray[np.int16]:
    """What each superpixel shows: 0 background, 1 + c class c, −1 where the walk is not sure.

    Args:
        pictures: All pictures, in order.
        settings: Of the walk; ``background`` for a mask head.
        confidence: Share that the winner needs.
        mask_logits: Logits [K, 1 + C] of a picture's superpixels by their rows; the priors of the class maps
            if None.

    Returns:
        int16 [superpixels of all pictures].
    """
    label = partial(_picture_labels, settings=settings, confidence=confidence, mask_logits=mask_logits)
    with ThreadPoolExecutor() as threads:  # the solver lets go of Python's lock
        return np.concatenate(list(threads.map(label, pictures)))


def _picture_labels(
    picture: LabelledRegions,
    settings: WalkSettings,
    confidence: float,
    mask_logits: Callable[[slice], NDArray[np.float32]] | None,
) -> NDArray[np.int16]:
    prior = picture.prior.astype(np.float64)
    if mask_logits is not None:
        prior = mask_prior(mask_logits(picture.rows), picture.classes, settings)
    walked = RandomWalk.on(picture.graph, settings).spread(prior)
    names = np.concatenate([[0], 1 + picture.classes])
    labels = np.where(walked.max(axis=1) > confidence, names[walked.argmax(axis=1)], -1)
    return labels.astype(np.int16)
