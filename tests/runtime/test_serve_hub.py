from __future__ import annotations

import time

import pytest
from tests.fixtures.live_page import plain_result

from prm_runtime.serve.health import Condition, condition, is_healthy
from prm_runtime.serve.hub import Hub
from prm_runtime.serve.rates import RateMeter
from prm_runtime.sources.status import SourceState, SourceStatus, StatusKeeper

OPENING, RUNNING, STALLED, RETRYING, ENDED = SourceState


def test_only_the_newest_result_of_each_source_is_kept() -> None:
    hub = Hub([StatusKeeper("a.mp4"), StatusKeeper("b.mp4")])
    for n in range(100):
        hub.put(plain_result("a.mp4", n))
    hub.put(plain_result("b.mp4", 7))
    first = hub.newer([0, 0], [0, 1])
    assert first is not None
    assert (first.source, first.sequence) == (0, 100)
    second = hub.newer([100, 0], [0, 1])
    assert second is not None
    assert (second.source, second.sequence) == (1, 1)
    assert hub.newer([100, 1], [0, 1]) is None
    assert hub.newer([100, 0], [0]) is None  # b.mp4 is not watched


@pytest.mark.parametrize(
    ("sources", "frame_source", "number"),
    [
        (["a.mp4", "b.mp4"], "b.mp4", 1),
        (["a.mp4", "holiday"], "holiday/dog.jpg", 1),
        (["pictures", "pictures/more"], "pictures/more/dog.jpg", 1),
        (["*.jpg"], "dog.jpg", 0),
    ],
)
def test_frames_find_their_source(sources: list[str], frame_source: str, number: int) -> None:
    hub = Hub([StatusKeeper(name) for name in sources])
    assert hub.channel_of(plain_result(frame_source).frame) == number


def test_results_are_counted_over_the_last_seconds() -> None:
    meter = RateMeter(start=0.0)
    for n in range(1, 101):
        meter.count(n / 20, 0.1 if n % 3 else 0.9)
    assert meter.rate(5.0).fps == pytest.approx(20)
    assert meter.rate(5.0).latency_s == 0.1
    assert meter.rate(6.5).fps == pytest.approx(10)
    assert meter.rate(20.0) == RateMeter(start=0.0).rate(20.0)
    assert meter.rate(20.0).latency_s is None


def test_reports_tell_of_state_counts_rates_and_history() -> None:
    keeper = StatusKeeper("rtsp://user:secret@yard/1")
    keeper.enter(RUNNING)
    keeper.count(frames=3, dropped=2)
    hub = Hub([keeper])
    for _ in range(3):
        latency = hub.put(plain_result("rtsp://yard/1", latency_s=0.25))
        assert latency == pytest.approx(0.25, abs=0.1)
        hub.tick()
    (report,) = hub.report(2)
    assert report["name"] == "rtsp://yard/1"
    assert (report["frames"], report["dropped"], report["results"]) == (3, 2, 3)
    assert report["condition"] == "alive"
    assert len(report["history"]) == 2
    fps, latency = report["history"][-1]
    assert fps > 0
    assert latency == pytest.approx(0.25, abs=0.1)
    assert "secret" not in str(report)


def test_putting_a_result_costs_the_pipeline_next_to_nothing() -> None:
    """Nothing is encoded where nobody watches: many large results pass in a moment and none is kept."""
    hub = Hub([StatusKeeper("clip.mp4")])
    results = [plain_result(index=n) for n in range(2000)]
    start = time.process_time()
    for result in results:
        hub.put(result)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("state", "error", "expected"),
    [
        (OPENING, None, Condition.ALIVE),
        (RUNNING, None, Condition.ALIVE),
        (STALLED, "no frame for 5 s", Condition.WAITING),
        (RETRYING, "refused", Condition.WAITING),
        (ENDED, None, Condition.FINISHED),
        (ENDED, "refused", Condition.DEAD),
    ],
)
def test_states_mean_something_to_people(state: SourceState, error: str | None, expected: Condition) -> None:
    status = SourceStatus("camera", state, error=error)
    assert condition(status) is expected
    assert is_healthy([status]) is (expected in (Condition.ALIVE, Condition.FINISHED))
    assert is_healthy([status, SourceStatus("clip.mp4", RUNNING)])
