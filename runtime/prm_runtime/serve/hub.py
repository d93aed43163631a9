"""Between the pipeline's thread and the viewers: the newest result of every source."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from prm_runtime.serve.health import condition
from prm_runtime.serve.rates import HISTORY, RateMeter
from prm_runtime.serve.snapshot import Snapshot
from prm_runtime.sinks.base import Result
from prm_runtime.sources.base import Frame
from prm_runtime.sources.status import SourceStatus


class Watched(Protocol):
    """What the page asks a source for."""

    @property
    def status(self) -> SourceStatus:
        """What it is doing; may be read from any thread."""
        ...


@dataclass
class _Channel:
    """One source on the page."""

    meter: RateMeter
    snapshot: Snapshot | None = None
    results: int = 0
    history: deque[tuple[float, float | None]] = field(default_factory=lambda: deque(maxlen=HISTORY))


class Hub:
    """Keeps the newest result per source. All methods may be called from any thread and return at once.

    Args:
        sources: What the run reads, in the order of the page.
        map_shift: ``RetrievalSettings.map_shift`` of the model.

    Attributes:
        ticks: Samples that were added to the history.
        is_closed: Whether the page is being taken down.
    """

    def __init__(self, sources: Sequence[Watched], map_shift: float = 0.0) -> None:
        self._sources = tuple(sources)
        self._names = [source.status.name for source in sources]
        self._map_shift = map_shift
        self._lock = threading.Lock()
        self._channels = [_Channel(RateMeter(time.monotonic())) for _ in sources]
        self._listeners: set[Callable[[], None]] = set()
        self.ticks = 0
        self.is_closed = False

    @property
    def statuses(self) -> list[SourceStatus]:
        """What every source is doing now."""
        return [source.status for source in self._sources]

    def put(self, result: Result) -> float:
        """Take a result in place of the one before it.

        Returns:
            Seconds since its frame was captured.
        """
        now = time.monotonic()
        latency = max(0.0, now - result.frame.captured)
        number = self.channel_of(result.frame)
        with self._lock:
            channel = self._channels[number]
            channel.results += 1
            channel.meter.count(now, latency)
            channel.snapshot = Snapshot(number, channel.results, result, latency, self._map_shift)
        self._notify()
        return latency

    def close(self) -> None:
        """Wake everybody who waits; they see :attr:`is_closed`."""
        self.is_closed = True
        self._notify()

    def newer(self, seen: Sequence[int], order: Sequence[int]) -> Snapshot | None:
        """The first snapshot that a viewer has not seen.

        Args:
            seen: ``Snapshot.sequence`` that the viewer saw last, of each source.
            order: Numbers of the sources that the viewer watches, whose turn it is first.
        """
        with self._lock:
            for number in order:
                snapshot = self._channels[number].snapshot
                if snapshot is not None and snapshot.sequence > seen[number]:
                    return snapshot
        return None

    def tick(self) -> None:
        """Add the present rates to the history, and wake the viewers; to be called once a second."""
        now = time.monotonic()
        with self._lock:
            self.ticks += 1
            for channel in self._channels:
                rate = channel.meter.rate(now)
                latency = None if rate.latency_s is None else round(rate.latency_s, 4)
                channel.history.append((round(rate.fps, 2), latency))
        self._notify()

    def report(self, ticks: int) -> list[dict[str, Any]]:
        """For each source what people want to know about it: state, counts and rates over time.

        Args:
            ticks: How many samples of the history to give; fewer where there are fewer.
        """
        statuses = self.statuses
        with self._lock:
            return [
                {
                    "name": status.name,
                    "state": status.state.value,
                    "condition": condition(status).value,
                    "error": status.error,
                    "frames": status.frames,
                    "dropped": status.dropped,
                    "skipped": status.skipped,
                    "reconnects": status.reconnects,
                    "results": channel.results,
                    "history": list(channel.history)[-ticks:],
                }
                for status, channel in zip(statuses, self._channels, strict=True)
            ]

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call ``listener`` from the pipeline's thread whenever there is something new; it must not block."""
        with self._lock:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def channel_of(self, frame: Frame) -> int:
        """Number of a frame's source; a picture of a folder names itself, not the folder."""
        if frame.source in self._names:
            return self._names.index(frame.source)
        around = [n for n, name in enumerate(self._names) if frame.source.startswith(name)]
        return max(around, key=lambda n: len(self._names[n]), default=0)

    def _notify(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()
