"""Where the time goes: seconds per stage of Algorithm 1."""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import Lock
from time import perf_counter
from types import TracebackType

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

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Add the time spent inside the ``with`` block to stage ``name``."""
        return _Stage(self, name)

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


class _Stage(AbstractContextManager[None]):
    """One stretch of a stage; a frame has several, and a generator takes longer to begin and end."""

    def __init__(self, times: StageTimes, name: str) -> None:
        self._times, self._name = times, name

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._times.add(self._name, perf_counter() - self._start)
