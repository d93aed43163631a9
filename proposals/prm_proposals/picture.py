"""What a proposal source takes and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.regions import RegionGraph


class ProposalError(ValueError):
    """Input or settings that no proposals can be made from: one line for people."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Everything that proposals can be made from. All maps cover the whole picture.

    Attributes:
        image: RGB, uint8 [H, W, 3].
        graph: Its superpixels, on a grid [h, w] of their own.
        features: Network feature maps by name, float32 [D, h', w'].
        name: What files about this picture are called, without their suffix; None where it has no name.
    """

    image: NDArray[np.uint8]
    graph: RegionGraph
    features: Mapping[str, NDArray[np.float32]]
    name: str | None = None


class ProposalSource(Protocol):
    """A way to get segment proposals."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the network feature maps that it needs in ``Picture.features``."""
        ...

    def __call__(self, picture: Picture) -> Gallery:
        """Proposals on the superpixels of ``picture.graph``, best first.

        Raises:
            ProposalError: If none can be made from this picture.
            GalleryError: If there is a gallery for this picture that cannot be used.
        """
        ...
