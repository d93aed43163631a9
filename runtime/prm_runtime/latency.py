"""How old live frames are when their results are out."""

from __future__ import annotations

from collections import deque

import numpy as np


class Latency:
    """Latencies of the last frames; bounded, so that it can run for months.

    Attributes:
        worst_s: The largest of all, 0 before the first.
    """

    LAST = 1000

    def __init__(self) -> None:
        """Start with none."""
        self._last: deque[float] = deque(maxlen=self.LAST)
        self.worst_s = 0.0

    def __len__(self) -> int:
        """Number of latencies that are kept."""
        return len(self._last)

    def add(self, seconds: float) -> None:
        """Note the latency of a frame."""
        self._last.append(seconds)
        self.worst_s = max(self.worst_s, seconds)

    def percentile_s(self, percent: float) -> float:
        """Percentile of the last frames' latencies in seconds; 0 where there are none."""
        return float(np.percentile(self._last, percent)) if self._last else 0.0
