"""What a segmenter asks of those who keep superpixels and proposals from frame to frame."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.regions import RegionGraph


class RegionMemory(Protocol):
    """Superpixels and proposals of frames that went before."""

    def recall(
        self, image: NDArray[np.uint8], prms: NDArray[np.float32]
    ) -> tuple[RegionGraph, Gallery] | None:
        """What serves a frame with these Peak Response Maps, None if it needs its own.

        Args:
            image: RGB, uint8 [H, W, 3].
            prms: float32 [P, h, w], each of sum 1.
        """
        ...

    def keep(self, image: NDArray[np.uint8], graph: RegionGraph, gallery: Gallery) -> None:
        """Remember what was made for a frame."""
        ...
