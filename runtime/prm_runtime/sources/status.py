"""What a source is doing: its state and its counts, readable from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from prm_runtime.sources.uri import is_uri, without_credentials


class SourceState(StrEnum):
    """States of a source; ENDED is final."""

    OPENING = "opening"
    RUNNING = "running"
    STALLED = "stalled"
    RETRYING = "retrying"
    ENDED = "ended"


@dataclass(frozen=True)
class SourceStatus:
    """A source at one moment.

    Attributes:
        name: What people call it, without credentials.
        state: Where in its life it is.
        frames: Frames that were read and could be decoded.
        dropped: Of these, frames that a newer one replaced before they were taken; 0 for files.
        skipped: Parts that could not be read: corrupt packets, unreadable pictures.
        reconnects: How often it came back after it was lost.
        error: Why it is not running, in one line without credentials; None if nothing is wrong.
    """

    name: str
    state: SourceState = SourceState.OPENING
    frames: int = 0
    dropped: int = 0
    skipped: int = 0
    reconnects: int = 0
    error: str | None = None


class StatusKeeper:
    """Keeps the status of a source; every method may be called from any thread."""

    def __init__(self, name: str) -> None:
        """Start in OPENING; credentials are removed from ``name``."""
        self._lock = threading.Lock()
        self._listeners: list[Callable[[SourceStatus], None]] = []
        self._status = SourceStatus(without_credentials(name) if is_uri(name) else name)

    @property
    def status(self) -> SourceStatus:
        """The status now."""
        with self._lock:
            return self._status

    def listen(self, listener: Callable[[SourceStatus], None]) -> None:
        """Call ``listener`` with the status after each change of state, in the thread that changes it."""
        self._listeners.append(listener)

    def enter(self, state: SourceState, error: str | None = None) -> None:
        """Go to a state; nothing leaves ENDED."""
        with self._lock:
            before = self._status
            if before.state is SourceState.ENDED or (before.state, before.error) == (state, error):
                return
            self._status = now = replace(before, state=state, error=error)
        for listener in self._listeners:
            listener(now)

    def count(self, *, frames: int = 0, dropped: int = 0, skipped: int = 0, reconnects: int = 0) -> None:
        """Add to the counts."""
        with self._lock:
            now = self._status
            self._status = replace(
                now,
                frames=now.frames + frames,
                dropped=now.dropped + dropped,
                skipped=now.skipped + skipped,
                reconnects=now.reconnects + reconnects,
            )
