"""Several sources read at once, a thread each, and their frames handed out fairly."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from prm_runtime.sources.base import Frame, Source
from prm_runtime.sources.errors import explain
from prm_runtime.sources.status import SourceState
from prm_runtime.timing import StageTimes

JOIN_S = 2.0  # a thread inside a system call that never returns is left behind


@dataclass(frozen=True, eq=False)
class Taken:
    """A frame and the source that it came from."""

    source: Source
    frame: Frame


class _Lane:
    """What waits between one source's thread and who takes frames.

    Of a live source one frame waits, and a newer one takes its place; any other source waits for room.
    """

    def __init__(self, source: Source, room: int, changed: threading.Condition) -> None:
        self.source = source
        self.waiting: deque[Frame] = deque()
        self.has_ended = False
        self.error: Exception | None = None
        self._room = room
        self._changed = changed

    def put(self, frame: Frame) -> None:
        with self._changed:
            if self.source.is_live:
                self.clear()
            else:
                self._changed.wait_for(lambda: len(self.waiting) < self._room or self.has_ended)
            if not self.has_ended:
                self.waiting.append(frame)
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            if self.source.is_live:
                self.source.keeper.count(dropped=len(self.waiting))
            self.waiting.clear()

    def end(self, error: Exception | None = None) -> None:
        with self._changed:
            if not self.has_ended:
                self.has_ended = True
                self.error = error
                reason = None if error is None else explain(error, self.source.name)
                self.source.keeper.enter(SourceState.ENDED, reason)
            self._changed.notify_all()


class Intake:
    """Reads sources and hands out their frames, each source in turn.

    Attributes:
        sources: The sources.
    """

    def __init__(self, sources: Sequence[Source], times: StageTimes, batch: int = 1) -> None:
        """Start a thread for each source.

        Args:
            sources: What to read.
            times: Where the time that reading takes is added up; waiting for live sources is not.
            batch: Frames that are taken at once.
        """
        self.sources = sources
        self._times = times
        self._changed = threading.Condition()
        self._lanes = [_Lane(source, max(2, batch), self._changed) for source in sources]
        self._turn = 0
        self._threads = [
            threading.Thread(target=self._read, args=(lane,), name=f"prm-source-{n}", daemon=True)
            for n, lane in enumerate(self._lanes)
        ]
        for thread in self._threads:
            thread.start()

    def take(self, most: int, timeout_s: float) -> list[Taken]:
        """The next frames, at most one of each source before any has a second.

        Waits until there is one; where no source is live, until there are ``most``.

        Returns:
            Nothing after ``timeout_s`` seconds without a frame, or once every source has ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_enough(most), timeout_s)
            taken: list[Taken] = []
            while len(taken) < most and (lane := self._next_lane()) is not None:
                taken.append(Taken(lane.source, lane.waiting.popleft()))
            self._changed.notify_all()
            return taken

    def has_enough(self, most: int) -> bool:
        """Whether :meth:`take` would hand out frames at once."""
        with self._changed:
            return self._is_enough(most) and any(lane.waiting for lane in self._lanes)

    @property
    def has_ended(self) -> bool:
        """Whether no frame will come any more."""
        with self._changed:
            return all(lane.has_ended and not lane.waiting for lane in self._lanes)

    @property
    def errors(self) -> list[Exception]:
        """What ended sources before their end."""
        with self._changed:
            return [lane.error for lane in self._lanes if lane.error is not None]

    def end(self, source: Source, error: Exception) -> None:
        """End one source; what of it still waits is dropped."""
        (lane,) = (lane for lane in self._lanes if lane.source is source)
        lane.end(error)
        lane.clear()
        source.close()

    def close(self) -> None:
        """End all sources and their threads."""
        for lane in self._lanes:
            lane.source.close()
            lane.end()
            lane.clear()
        deadline = monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _is_enough(self, most: int) -> bool:
        ready = sum(len(lane.waiting) for lane in self._lanes)
        reading = [lane for lane in self._lanes if not lane.has_ended]
        enough = 1 if any(lane.source.is_live for lane in reading) else most
        return not reading or ready >= enough

    def _next_lane(self) -> _Lane | None:
        for _ in self._lanes:
            lane = self._lanes[self._turn]
            self._turn = (self._turn + 1) % len(self._lanes)
            if lane.waiting:
                return lane
        return None

    def _read(self, lane: _Lane) -> None:
        """Body of a source's thread: whatever goes wrong in it ends this source alone."""
        try:
            frames = iter(lane.source)
            while not lane.has_ended:
                start = monotonic()
                frame = next(frames, None)
                if frame is None:
                    break
                if not lane.source.is_live:
                    self._times.add("decode", monotonic() - start)
                lane.put(frame)
            lane.end()
        except Exception as error:
            lane.end(error)
