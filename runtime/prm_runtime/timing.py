"""Where the time goes: seconds per stage of Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter

STAGES = ("decode", "forward", "back-propagation", "proposals", "retrieval", "following", "draw", "write")


class StageTimes:
    """Adds up wall-clock seconds per stage; of several threads, those of all of them.

    Example:
        >>> times = StageTimes()
        >>> with times.stage("forward"):
        ...     pass
        >>> times.count("forward")
        1
    """

    def __init__(self) -> None:
        """Start with no stage."""
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside the ``with`` block to stage ``name``."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add ``seconds`` to stage ``name``; may be called from any thread."""
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self._counts[name] = self._counts.get(name, 0) + 1

    def seconds(self, name: str) -> float:
        """Total seconds spent in a stage; 0 if it never ran."""
        return self._seconds.get(name, 0.0)

    def count(self, name: str) -> int:
        """How often a stage ran."""
        return self._counts.get(name, 0)
