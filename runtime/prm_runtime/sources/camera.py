"""Cameras attached to this computer."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from time import monotonic

import cv2
import numpy as np

from prm_runtime.sources.base import Frame, SourceError
from prm_runtime.sources.status import SourceState, SourceStatus, StatusKeeper


class Camera:
    """A local camera; it ends when it is unplugged or the run is interrupted."""

    length: int | None = None

    def __init__(self, index: int) -> None:
        """Open camera ``index``.

        Raises:
            SourceError: If there is no such camera or another program holds it.
        """
        self.name = str(index)  # what a user gave and what the results name
        self.problems: list[str] = []
        self._keeper = StatusKeeper(self.name)
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise SourceError(
                f"camera {index}: cannot be opened; is it plugged in, and free of other programs?"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest one waiting
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: Fraction | None = Fraction(rate).limit_denominator(1001) if rate > 0 else Fraction(30)

    @property
    def status(self) -> SourceStatus:
        """State and counts so far."""
        return self._keeper.status

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the camera stops.

        Raises:
            SourceError: If it yields none.
        """
        start = monotonic()
        index = 0
        try:
            while True:
                arrived, image = self._capture.read()
                if not arrived:
                    break
                rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                self._keeper.enter(SourceState.RUNNING)
                self._keeper.count(frames=1)
                yield Frame(rgb, self.name, index, monotonic() - start)
                index += 1
        finally:
            self._keeper.enter(SourceState.ENDED)
            self._capture.release()
        if index == 0:
            raise SourceError(f"camera {self.name}: delivers no pictures")
        self.problems.append(f"camera {self.name}: stopped delivering pictures after frame {index - 1}")
