from __future__ import annotations

import math

import pytest
from benchmarks.timing import Disturbance, Samples, disturbance_notes, interleave, spread, timed


def test_quartiles_leave_out_stages_that_did_not_run() -> None:
    found = spread([4.0, math.nan, 1.0, 3.0, 2.0, 5.0])
    assert (found.q25, found.median, found.q75, found.n) == (2, 3, 4, 5)
    assert spread([math.nan]).n == 0


def test_ratios_are_paired() -> None:
    samples = Samples({"a": {"total": [2.0, 20.0, 200.0]}, "b": {"total": [1.0, 10.0, 100.0]}}, 3, None)
    assert samples.ratio("a", "b").as_list() == [2, 2, 2]
    assert samples.of("a").median == 20


def test_all_take_turns_in_an_order_that_turns() -> None:
    called: list[tuple[str, int]] = []
    runs = {name: timed(lambda n, name=name: called.append((name, n))) for name in "abc"}  # type: ignore[misc]
    samples = interleave(runs, 3, warm_up=1, spare=0.0, settle=0)
    assert called[:3] == [("a", 0), ("b", 0), ("c", 0)]
    assert called[3:] == [
        *(("a", 0), ("b", 0), ("c", 0)),
        *(("b", 1), ("c", 1), ("a", 1)),
        *(("c", 2), ("a", 2), ("b", 2)),
    ]
    assert samples.rounds == 3


def test_rounds_count_in_which_others_disturbed_least(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = iter([0.5, 0.1, 0.9, 0.2])

    class Watch:
        sees = True

        def __init__(self, workers: object) -> None:
            pass

        def start(self) -> None:
            pass

        def stop(self) -> Disturbance:
            return Disturbance(next(waiting), 0.0)

    monkeypatch.setattr("benchmarks.timing.Watch", Watch)
    seconds = iter([9.0, 1.0, 2.0, 3.0, 4.0])
    samples = interleave({"a": lambda _: {"total": next(seconds)}}, 2, warm_up=1, spare=1.0, settle=0)
    assert samples.ms["a"]["total"] == [2000, 4000]
    assert samples.disturbance == Disturbance(0.15, 0.0)
    (note,) = disturbance_notes(samples)
    assert "15 % of the time" in note


def test_a_stage_that_ran_sometimes_stays_aligned() -> None:
    found = iter([{"total": 1.0}, {"total": 1.0, "extra": 0.5}])
    samples = interleave({"a": lambda _: next(found)}, 2, warm_up=0, spare=0.0, settle=0)
    assert math.isnan(samples.ms["a"]["extra"][0])
    assert samples.of("a", "extra").as_list() == [500, 500, 500]
