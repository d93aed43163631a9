from __future__ import annotations

import time
from collections import Counter
from io import StringIO

import pytest
from rich.console import Console

from prm_runtime.pipeline import Summary
from prm_runtime.report import stage_table, summary_line
from prm_runtime.timing import StageTimes


def test_stage_times_add_up_and_count_also_on_errors() -> None:
    times = StageTimes()
    with times.stage("forward"):
        time.sleep(0.01)
    with pytest.raises(ValueError, match="x"), times.stage("forward"):
        raise ValueError("x")
    assert times.count("forward") == 2
    assert 0.01 <= times.seconds("forward") < 1
    assert times.seconds("draw") == times.count("draw") == 0


def test_the_table_shows_the_stages_that_ran() -> None:
    times = StageTimes()
    with times.stage("proposals"):
        time.sleep(0.002)
    console = Console(file=StringIO(), width=80)
    console.print(stage_table(times, Summary(1, elapsed_s=0.5)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "proposals" in text
    assert "100 %" in text
    assert "draw" not in text
    assert "2.0 fps" in text


def test_summary_line() -> None:
    assert summary_line(Summary(1, Counter())) == "1 frame: nothing found"
    assert summary_line(Summary(9, Counter(cat=2, dog=7))) == "9 frames: dog in 7, cat in 2"
