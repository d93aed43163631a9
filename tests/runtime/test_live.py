"""The states of a live source, on connections that do as they are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from prm_runtime.sources import Frame, Patience, SourceError, SourceState, SourceStatus, live
from prm_runtime.sources.errors import LostError, NotFoundError, RefusedError, UnauthorisedError
from prm_runtime.sources.live import LiveSource, Reading

IMAGE = np.zeros((2, 2, 3), np.uint8)
QUICK = Patience(stall_after_s=0.2, retry_for_s=5)


class Scripted:
    """A connection that reads what it is given: images, numbers of corrupt frames, waits and errors."""

    fps = Fraction(10)

    def __init__(self, script: list[object]) -> None:
        self._script: Iterator[object] = iter(script)
        self.is_closed = False

    def read(self) -> Reading:
        step = next(self._script, LostError("over"))
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            time.sleep(step)
            return Reading([], time.monotonic())
        if isinstance(step, int):
            return Reading([], time.monotonic(), corrupt=step)
        return Reading([IMAGE], time.monotonic())

    def close(self) -> None:
        self.is_closed = True


class Caller:
    """Connects to one script after the other; an error in place of a script is raised."""

    def __init__(self, *scripts: list[object] | Exception) -> None:
        self._scripts = iter(scripts)
        self.connections: list[Scripted] = []

    def __call__(self) -> Scripted:
        script = next(self._scripts)
        if isinstance(script, Exception):
            raise script
        self.connections.append(Scripted(script))
        return self.connections[-1]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.001)


def watched(
    *scripts: list[object] | Exception, patience: Patience = QUICK
) -> tuple[LiveSource, list[SourceStatus]]:
    source = LiveSource("cam", Caller(*scripts), patience)
    seen: list[SourceStatus] = []
    source.keeper.listen(seen.append)
    return source, seen


def take(source: LiveSource, count: int) -> list[Frame]:
    frames = iter(source)
    taken = [next(frames) for _ in range(count)]
    source.close()
    assert list(frames) == []
    return taken


def test_a_lost_connection_is_made_again_and_counted() -> None:
    source, seen = watched(
        ["image", LostError("cable")],
        RefusedError("rebooting"),
        NotFoundError("no stream yet"),
        ["image"] * 2,
    )
    assert source.status.state is SourceState.OPENING
    frames = take(source, 3)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames[0].time_s == 0
    assert frames[1].time_s < frames[2].time_s
    assert [(status.state, status.error) for status in seen[:5]] == [
        (SourceState.RUNNING, None),
        (SourceState.RETRYING, "cable"),
        (SourceState.RETRYING, "rebooting"),
        (SourceState.RETRYING, "no stream yet"),
        (SourceState.RUNNING, None),
    ]
    assert (source.status.frames, source.status.reconnects) == (3, 1)


@pytest.mark.parametrize("error", [NotFoundError("gone"), RefusedError("busy"), UnauthorisedError("who?")])
def test_what_retrying_cannot_mend_ends_the_source_at_once(error: SourceError) -> None:
    source, _ = watched(error)
    with pytest.raises(type(error)):
        list(source)


def test_a_password_that_is_changed_ends_a_running_source() -> None:
    source, _ = watched(["image", LostError("cable")], UnauthorisedError("wrong password"))
    frames = iter(source)
    next(frames)
    with pytest.raises(UnauthorisedError):
        next(frames)


def test_a_source_that_is_away_too_long_is_given_up() -> None:
    source, _ = watched(*[LostError("no route")] * 1000, patience=Patience(1, retry_for_s=0.1))
    with pytest.raises(LostError, match="no route"):
        list(source)


def test_a_connection_that_breaks_before_its_first_frame_is_no_reconnection() -> None:
    source, _ = watched([LostError("early")], ["image", LostError("cable")], [LostError("early")], ["image"])
    take(source, 2)
    assert source.status.reconnects == 1
    assert all(connection.is_closed for connection in source._connect.connections)  # type: ignore[attr-defined]


def test_silence_is_a_stall_and_then_a_lost_connection() -> None:
    source, seen = watched(["image", 0.25, 0.3], ["image"])
    states: list[SourceState] = []
    watcher_done = threading.Event()

    def watch() -> None:
        while not watcher_done.wait(0.02):
            states.append(source.status.state)

    watcher = threading.Thread(target=watch)
    watcher.start()
    take(source, 2)
    watcher_done.set()
    watcher.join()
    assert SourceState.STALLED in states
    errors = [status.error for status in seen if status.state is SourceState.RETRYING]
    assert errors[:1] == ["cam: no frame for 0.4 s"]
    assert source.status.reconnects == 1


def test_corrupt_frames_are_counted_and_left_out() -> None:
    source, _ = watched(["image", 1, 2, "image"])
    assert len(take(source, 2)) == 2
    assert (source.status.frames, source.status.skipped) == (2, 3)


def test_closing_ends_the_wait_between_two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 60)
    source, _ = watched(*[LostError("away")] * 1000, patience=Patience(1))
    threading.Timer(0.2, source.close).start()
    start = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - start < 30


def test_the_wait_between_tries_grows_and_is_never_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.5)
    waits: list[float] = []
    source, _ = watched(*[LostError("away")] * 12, UnauthorisedError("enough"), patience=Patience(1))
    monkeypatch.setattr(live, "sleep_using_event", lambda _event: waits.append)
    with pytest.raises(UnauthorisedError):
        list(source)
    assert len(set(waits)) == 12
    assert all(0 <= wait <= min(live.LONGEST_WAIT_S, 0.5 * 2**n) for n, wait in enumerate(waits))
    assert max(waits) > 2
