"""Live sources: connections that break and are made again, and frames that only count while they are new."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from time import monotonic
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_never,
    stop_when_event_set,
    wait_random_exponential,
)

from prm_runtime.sources.base import Frame, TrackedSource
from prm_runtime.sources.errors import CodecError, LostError, NotFoundError, RefusedError, SourceError
from prm_runtime.sources.status import SourceState, SourceStatus

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
FIRST_FRAME_S = 30.0  # some cameras send key frames that rarely, and decoding begins with one
FOR_GOOD = (NotFoundError, RefusedError, CodecError)  # on the first try; later they may pass
"""A server that restarts refuses for a while, or does not know its streams yet."""

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a live source is waited for.

    Attributes:
        stall_after_s: Seconds without a frame after which a source counts as stalled. After twice this time
            its connection is given up and made again.
        retry_for_s: Seconds that a lost source is tried again for; None for ever.
    """

    stall_after_s: float = 5.0
    retry_for_s: float | None = None

    @property
    def give_up_after_s(self) -> float:
        """Seconds without a frame after which a connection is made again."""
        return 2 * self.stall_after_s


@dataclass(frozen=True, eq=False)
class Reading:
    """What one read of a connection brought.

    Attributes:
        images: RGB, uint8 [H, W, 3] each, in order; most reads bring one or none.
        captured: When it arrived, on the clock of :func:`time.monotonic`.
        corrupt: Frames or packets that were damaged and left out.
    """

    images: list[NDArray[np.uint8]]
    captured: float
    corrupt: int = 0


class Connection(Protocol):
    """A connection to a camera or server.

    Attributes:
        fps: Frames per second as announced.
    """

    fps: Fraction

    def read(self) -> Reading:
        """Wait for what comes next.

        Raises:
            SourceError: If the connection is lost.
        """
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class LiveSource(TrackedSource):
    """Frames of connections, one after the other, until it is closed or there is no hope.

    Time stamps are those of this computer's clock at arrival: a stream's own clock may jump.
    """

    is_live = True

    def __init__(self, name: str, connect: Callable[[], Connection], patience: Patience) -> None:
        """Connect to nothing yet.

        Args:
            name: What people call it, without credentials.
            connect: Makes a connection or raises a :class:`SourceError`.
            patience: How long it is waited for.
        """
        super().__init__(name)
        self._connect = connect
        self._patience = patience
        self._closed = threading.Event()
        self._last_frame = monotonic()
        self._count = 0

    @property
    def status(self) -> SourceStatus:
        """State and counts; RUNNING without a frame for too long is STALLED."""
        status = self.keeper.status
        silent_s = monotonic() - self._last_frame
        if status.state is SourceState.RUNNING and silent_s > self._patience.stall_after_s:
            return replace(status, state=SourceState.STALLED, error=f"no frame for {silent_s:.0f} s")
        return status

    def close(self) -> None:
        """Make the iteration end after the current read or wait."""
        self._closed.set()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the source is closed.

        Raises:
            SourceError: If the source cannot be had, or did not come back in time.
        """
        start: float | None = None
        while (opened := self._with_retries(self._open)) is not None:
            connection, reading = opened
            self.fps = connection.fps
            self.keeper.count(reconnects=min(self._count, 1))
            self.keeper.enter(SourceState.RUNNING)
            with closing(connection):
                for image, captured in self._captures(connection, reading):
                    start = captured if start is None else start
                    yield Frame(image, self.name, self._count, captured - start, captured)
                    self._count += 1

    def _with_retries(self, connect: Callable[[], T]) -> T | None:
        """What ``connect`` returns, tried again while there is hope; None once closed."""
        limit = self._patience.retry_for_s
        retrying = Retrying(
            retry=retry_if_exception(self._is_worth_a_retry),
            wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            stop=stop_any(
                stop_when_event_set(self._closed), stop_never if limit is None else stop_after_delay(limit)
            ),
            sleep=sleep_using_event(self._closed),
            before_sleep=self._note_failure,
            reraise=True,
        )
        try:
            return None if self._closed.is_set() else retrying(connect)
        except SourceError:
            if self._closed.is_set():
                return None
            raise

    def _open(self) -> tuple[Connection, Reading]:
        connection = self._connect()
        try:
            self._last_frame = monotonic()
            limit_s = max(FIRST_FRAME_S, self._patience.give_up_after_s)
            while not self._closed.is_set():
                if (reading := self._read(connection, limit_s)).images:
                    return connection, reading
            raise LostError(f"{self.name}: closed")
        except BaseException:
            connection.close()
            raise

    def _captures(self, connection: Connection, first: Reading) -> Iterator[tuple[NDArray[np.uint8], float]]:
        reading = first
        while not self._closed.is_set():
            for image in reading.images:
                self.keeper.count(frames=1)
                yield image, reading.captured
            try:
                reading = self._read(connection, self._patience.give_up_after_s)
            except LostError as error:
                self.keeper.enter(SourceState.RETRYING, str(error))
                return

    def _read(self, connection: Connection, limit_s: float) -> Reading:
        reading = connection.read()
        if reading.corrupt:
            self.keeper.count(skipped=reading.corrupt)
        if reading.images:
            self._last_frame = monotonic()
        elif monotonic() - self._last_frame > limit_s:
            raise LostError(f"{self.name}: no frame for {limit_s:g} s")
        return reading

    def _is_worth_a_retry(self, error: BaseException) -> bool:
        return isinstance(error, LostError) or (self._count > 0 and isinstance(error, FOR_GOOD))

    def _note_failure(self, attempt: RetryCallState) -> None:
        error = attempt.outcome.exception() if attempt.outcome else None
        self.keeper.enter(SourceState.RETRYING, str(error))
