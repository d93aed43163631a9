"""How fast results come and how old they are when they do."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

WINDOW_S = 3.0
HISTORY = 120  # samples, one a second


@dataclass(frozen=True)
class Rate:
    """A source over the last seconds.

    Attributes:
        fps: Results per second.
        latency_s: Median seconds from capture to result; None without a result.
    """

    fps: float
    latency_s: float | None


class RateMeter:
    """Results of the last ``WINDOW_S`` seconds. Times are those of one monotonic clock.

    Example:
        >>> meter = RateMeter(start=0.0)
        >>> for n in range(1, 31):
        ...     meter.count(now=n / 10, latency_s=0.05)
        >>> meter.rate(now=3.0)
        Rate(fps=10.0, latency_s=0.05)
    """

    def __init__(self, start: float) -> None:
        """Start counting."""
        self._start = start
        self._results: deque[tuple[float, float]] = deque()

    def count(self, now: float, latency_s: float) -> None:
        """Count a result."""
        self._results.append((now, latency_s))
        self._forget(now)

    def rate(self, now: float) -> Rate:
        """The rate at a moment."""
        self._forget(now)
        if not self._results:
            return Rate(0.0, None)
        seconds = min(WINDOW_S, max(now - self._start, 1.0))
        return Rate(len(self._results) / seconds, median(latency for _, latency in self._results))

    def _forget(self, now: float) -> None:
        while self._results and self._results[0][0] <= now - WINDOW_S:
            self._results.popleft()
