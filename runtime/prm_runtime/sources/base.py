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

from prm_runtime.sources.status import SourceState, SourceStatus, StatusKeeper
from prm_runtime.sources.uri import is_uri, plain_name

MAX_PROBLEMS = 100  # a damaged stream can have millions; all are counted, the first are told


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
        fps: Frames per second of a video, None for still pictures. Of a stream it is known with its first
            frame.
        length: Number of frames where it is known.
        is_live: Whether only the newest frame counts. Of a stream it is known with its first frame.
        is_still: Whether it consists of still pictures.
        problems: One line for people about each of the first parts that could not be read.
        keeper: Where its state and counts are kept.
    """

    name: str
    fps: Fraction | None
    length: int | None
    is_live: bool
    is_still: bool
    problems: list[str]
    keeper: StatusKeeper

    @property
    def status(self) -> SourceStatus:
        """State and counts; may be read from any thread."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a part that cannot be read is counted, added to ``problems`` and left out.

        Raises:
            SourceError: If nothing can be read.
        """
        ...

    def skip(self, problem: str, count: int = 1) -> None:
        """Count parts that could not be read or processed, and note why."""
        ...

    def close(self) -> None:
        """Make the iteration end soon; may be called from any thread."""
        ...


class TrackedSource:
    """What sources share: their attributes, with the values of a file that is read to its end."""

    fps: Fraction | None = None
    length: int | None = None
    is_live: bool = False
    is_still: bool = False

    def __init__(self, name: str) -> None:
        """Start in OPENING."""
        self.name = name
        self.problems: list[str] = []
        self.keeper = StatusKeeper(name)

    @property
    def status(self) -> SourceStatus:
        """State and counts so far."""
        return self.keeper.status

    def close(self) -> None:
        """Count as ended; who iterates stops asking."""
        self.keeper.enter(SourceState.ENDED)

    def skip(self, problem: str, count: int = 1) -> None:
        """Count parts that could not be read and note why."""
        self.keeper.count(skipped=count)
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
