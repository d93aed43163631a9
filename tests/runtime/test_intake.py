"""Fairness, order and what is dropped when several sources are read at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from prm_runtime.sources import Frame, SourceError, SourceState
from prm_runtime.sources.base import TrackedSource
from prm_runtime.sources.intake import Intake
from prm_runtime.timing import StageTimes

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Numbers(TrackedSource):
    """Frames 0, 1 ... as quickly as they are taken, or when told to; ends with ``error`` if there is one."""

    def __init__(self, name: str, count: int, error: Exception | None = None, *, live: bool = False) -> None:
        super().__init__(name)
        self.is_live = live
        self._count = count
        self._error = error
        self.go = threading.Event()
        if not live:
            self.go.set()

    def __iter__(self) -> Iterator[Frame]:
        self.go.wait()
        for index in range(self._count):
            self.keeper.count(frames=1)
            yield Frame(IMAGE, self.name, index, float(index))
        if self._error:
            raise self._error


def read_all(sources: Sequence[Numbers], most: int = 1) -> list[tuple[str, int]]:
    intake = Intake(sources, StageTimes(), most)
    found: list[tuple[str, int]] = []
    while not intake.has_ended:
        found += [(taken.source.name, taken.frame.index) for taken in intake.take(most, 5)]
    intake.close()
    return found


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("most", [1, 3])
def test_files_lose_nothing_and_keep_their_order(most: int) -> None:
    found = read_all([Numbers("a", 50), Numbers("b", 20), Numbers("c", 5)], most)
    for name, count in (("a", 50), ("b", 20), ("c", 5)):
        assert [index for source, index in found if source == name] == list(range(count))


def test_sources_take_turns() -> None:
    sources = [Numbers("a", 50), Numbers("b", 50)]
    intake = Intake(sources, StageTimes())
    found = []
    for _ in range(40):
        wait_until(lambda: all(len(lane.waiting) == 2 for lane in intake._lanes))
        found += [taken.source.name for taken in intake.take(1, 5)]
    intake.close()
    assert found == ["a", "b"] * 20


def test_a_batch_takes_one_of_each_before_a_second_of_any() -> None:
    intake = Intake([Numbers("a", 50), Numbers("b", 1), Numbers("c", 50)], StageTimes(), 4)
    wait_until(lambda: sum(len(lane.waiting) for lane in intake._lanes) == 9)
    assert [taken.source.name for taken in intake.take(4, 5)] == ["a", "b", "c", "a"]
    intake.close()


def test_files_wait_until_a_batch_is_full() -> None:
    sizes = []
    intake = Intake([Numbers("a", 10)], StageTimes(), 4)
    while not intake.has_ended:
        sizes.append(len(intake.take(4, 5)))
    assert sizes == [4, 4, 2]


def test_of_a_live_source_only_the_newest_frame_waits_and_the_others_are_counted() -> None:
    camera = Numbers("camera", 30, live=True)
    intake = Intake([camera], StageTimes())
    camera.go.set()
    wait_until(lambda: camera.status.state is SourceState.ENDED)
    assert [taken.frame.index for taken in intake.take(1, 5)] == [29]
    assert (camera.status.frames, camera.status.dropped) == (30, 29)
    assert intake.has_ended


def test_frames_that_wait_at_the_end_are_counted_as_dropped() -> None:
    camera = Numbers("camera", 3, live=True)
    intake = Intake([camera], StageTimes())
    camera.go.set()
    wait_until(lambda: camera.status.frames == 3 and camera.status.dropped == 2)
    intake.close()
    assert camera.status.dropped == 3


def test_a_batch_does_not_wait_for_a_live_source() -> None:
    camera = Numbers("camera", 1, live=True)
    intake = Intake([camera, Numbers("file", 1)], StageTimes(), 8)
    assert [taken.source.name for taken in intake.take(8, 5)] == ["file"]
    camera.go.set()
    assert [taken.source.name for taken in intake.take(8, 5)] == ["camera"]
    intake.close()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SourceError("b: unplugged"), "b: unplugged"),
        (MemoryError("9 GiB"), "b: out of memory (9 GiB)"),
        (RuntimeError("odd"), "b: RuntimeError: odd"),
    ],
)
def test_a_source_that_fails_ends_alone(error: Exception, message: str) -> None:
    a, b = Numbers("a", 20), Numbers("b", 5, error)
    found = read_all([a, b])
    assert len(found) == 25
    assert (a.status.state, a.status.error) == (SourceState.ENDED, None)
    assert (b.status.state, b.status.error) == (SourceState.ENDED, message)


def test_what_a_foreign_error_says_about_a_uri_is_not_repeated() -> None:
    source = Numbers("rtsp://cam/1", 0, RuntimeError("rtsp://admin:secret@cam/1"))
    read_all([source])
    assert source.status.error == "rtsp://cam/1: RuntimeError"


def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    intake = Intake([Numbers("a", 10**6), Numbers("b", 10**6)], StageTimes())
    intake.take(1, 5)
    intake.close()
    assert set(threading.enumerate()) == before
    assert intake.has_ended
