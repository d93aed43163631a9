"""Superpixels and proposals that are carried over while the picture is still where it matters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.regions import RegionGraph
from prm_runtime.reuse.grid import grey
from prm_runtime.reuse.settings import ReuseSettings


class StillRegions:
    """The superpixels and proposals of the last frame of a source that they were made for.

    They serve another frame if few of its pixels have changed since, and if none of its Peak Response Maps
    lies on those: a proposal is retrieved where peaks respond. Trees of proposals join regions across the
    whole picture, so there is no making a part of them.

    Attributes:
        carried: Frames that needed no proposals of their own.
    """

    def __init__(self, settings: ReuseSettings) -> None:
        """Start with none."""
        self._settings = settings
        self._seen: NDArray[np.uint8] | None = None
        self._made: tuple[RegionGraph, Gallery] | None = None
        self.carried = 0

    def recall(
        self, image: NDArray[np.uint8], prms: NDArray[np.float32]
    ) -> tuple[RegionGraph, Gallery] | None:
        """What serves this frame, None if it needs its own.

        Args:
            image: RGB, uint8 [H, W, 3].
            prms: Its Peak Response Maps, float32 [P, h, w], each of sum 1.
        """
        now = grey(image)
        if self._made is None or self._seen is None or self._seen.shape != now.shape:
            return None
        if not is_still(self._seen, now, prms, self._settings):
            return None
        self.carried += 1
        return self._made

    def keep(self, image: NDArray[np.uint8], graph: RegionGraph, gallery: Gallery) -> None:
        """Remember what was made for a frame."""
        self._seen, self._made = grey(image), (graph, gallery)


def is_still(
    before: NDArray[np.uint8],
    now: NDArray[np.uint8],
    prms: NDArray[np.float32],
    settings: ReuseSettings,
) -> bool:
    """Whether few pixels have changed, and none of the responses lies on them.

    Args:
        before: Grey, uint8 [h, w].
        now: Grey, uint8 [h, w].
        prms: Peak Response Maps of ``now``, float32 [P, h2, w2], each of sum 1.
        settings: The limits.
    """
    changed = cv2.absdiff(before, now) >= settings.changed_levels
    if changed.mean() > settings.max_changed:
        return False
    if len(prms) == 0:
        return True
    share = cv2.resize(changed.astype(np.float32), prms.shape[:0:-1], interpolation=cv2.INTER_AREA)
    return bool((prms * share).sum(axis=(1, 2)).max() <= settings.max_prm_changed)
