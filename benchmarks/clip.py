"""Real frames to measure on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
from benchmarks.timing import Run, timed
from numpy.typing import NDArray

from prm_proposals.settings import RetrievalSettings
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import Frame, open_source

Pictures = list[NDArray[np.uint8]]
"""RGB, uint8 [H, W, 3] each."""
DEFAULT = "demo/bikes.mp4"
_FIRST = 250
_NEVER = -1e9


def spread_frames(source: str, count: int) -> Pictures:
    """Frames spread evenly over the first 250, RGB uint8 [H, W, 3]; all there are if there are fewer."""
    pictures = [frame.image for frame in islice(open_source(source), _FIRST)]
    chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int)
    return [pictures[i] for i in chosen]


def cropped(pictures: Pictures, aspect: str) -> Pictures:
    """The middle of frames, as much as has an aspect such as ``4:3``."""
    across, down = (int(side) for side in aspect.split(":"))

    def middle(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        wanted = min(height, width * down // across), min(width, height * across // down)
        top, left = (height - wanted[0]) // 2, (width - wanted[1]) // 2
        return np.ascontiguousarray(picture[top : top + wanted[0], left : left + wanted[1]])

    return [middle(picture) for picture in pictures]


def exactly(settings: RetrievalSettings, peaks: int) -> RetrievalSettings:
    """Settings under which the strongest ``peaks`` peaks live on every frame, whatever is in it."""
    return replace(settings, presence=_NEVER, peak_floor=_NEVER, peak_ratio=0.0, max_peaks=peaks)


def without_objects(segmenter: Segmenter, frames: Pictures) -> Pictures:
    """Those frames on which no peak lives; grey ones if there are none."""
    empty = [frame for frame in frames if len(segmenter.evidence(frame).peaks) == 0]
    return empty or [np.full_like(frames[0], 127)]


def decoding(source: str) -> Run:
    """Decode the next frame of a clip, from its start again at its end."""

    def forever() -> Iterator[Frame]:
        while True:
            yield from open_source(source)

    frames = forever()
    return timed(lambda _: next(frames))
