"""What retrieval works out of a frame while its Peak Response Maps are still being made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prm_proposals.random_walk import RandomWalk
from prm_proposals.settings import RetrievalSettings
from prm_proposals.spots import Spots


@dataclass(frozen=True)
class Groundwork:
    """What depends on superpixels, class maps and a mask head, but on no Peak Response Map.

    Attributes:
        settings: The settings it was made by; it is worth nothing to others.
        walk: The random walk on the superpixels.
        spots: Spots of a mask head, which have no peak.
        log_posterior: What the mask head says of each class, float32 [C, K]; [0, K] without spots.
    """

    settings: RetrievalSettings
    walk: RandomWalk
    spots: Spots
    log_posterior: NDArray[np.float32]
