"""What every source of frames looks like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prm_runtime.console import PrmError
from prm_runtime.sources.status import SourceStatus
from prm_runtime.sources.uri import is_uri, plain_name


class SourceError(PrmError):
    """A source that cannot be read, with what to do."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a source.

    Attributes:
        image: RGB, uint8 [H, W, 3].
        source: The path or URI as given, never with credentials.
        index: Number of the frame in its source, from 0; a still picture has 0.
        time_s: Seconds since the source began, None for a still picture.
        captured: When it was captured or decoded, on the clock of :func:`time.monotonic`; a result's latency
            is the time since then.
    """

    image: NDArray[np.uint8]
    source: str
    index: int
    time_s: float | None
    captured: float = field(default_factory=monotonic)

    @property
    def stem(self) -> str:
        """What files about its source are called: ``dog`` for pictures/dog.jpg."""
        return plain_name(self.source) if is_uri(self.source) else Path(self.source).stem

    @property
    def number(self) -> str:
        """What tells files about the frames of a video apart: ``_000012``; nothing for a still picture."""
        return "" if self.time_s is None else f"_{self.index:06d}"


class Source(Protocol):
    """Frames, one after the other.

    Attributes:
        name: What people call it, without credentials.
        fps: Frames per second of a video, None for still pictures.
        length: Number of frames where it is known.
        problems: One line for people about each part that could not be read so far.
    """

    name: str
    fps: Fraction | None
    length: int | None
    problems: list[str]

    @property
    def status(self) -> SourceStatus:
        """State and counts; may be read from any thread."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a part that cannot be read is added to ``problems`` and left out.

        Raises:
            SourceError: If nothing can be read.
        """
        ...
