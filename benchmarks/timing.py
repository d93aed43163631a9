"""Interleaved timing: variants take turns round by round, so that whatever slows the machine hits them alike.

A round runs every variant once on the same input, in an order that turns with the rounds. Quote ratios of
one run, never milliseconds of two. More rounds are run than are wanted, and those count in which our
threads waited least for a CPU that other processes had; how long anything took has no say in that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter, sleep
from typing import Any

import numpy as np
from benchmarks.machine import Disturbance, Watch
from numpy.typing import NDArray

TOTAL = "total"
Run = Callable[[int], Mapping[str, float]]
"""Takes the number of the round (to choose an input by), returns seconds per stage."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of n values."""

    q25: float
    median: float
    q75: float
    n: int

    def as_list(self) -> list[float]:
        """First quartile, median, third quartile."""
        return [self.q25, self.median, self.q75]

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.q25)} to {_short(self.q75)})"


def spread(values: Sequence[float] | NDArray[np.float64]) -> Spread:
    """Median and quartiles; values that are NaN (a stage that did not run) do not count."""
    array = np.asarray(values, np.float64)
    array = array[~np.isnan(array)]
    q25, median, q75 = np.percentile(array, [25, 50, 75]).tolist() if len(array) else [np.nan] * 3
    return Spread(round(q25, 4), round(median, 4), round(q75, 4), len(array))


@dataclass(frozen=True)
class Samples:
    """Milliseconds of every variant and stage in the rounds that count.

    Attributes:
        ms: By variant and stage, one value per round; NaN where a stage did not run.
        rounds: Rounds that were run, without the warm-up; the quietest of them count.
        disturbance: What other processes did in the rounds that count, median; None where the system does not
            tell.
    """

    ms: Mapping[str, Mapping[str, list[float]]]
    rounds: int
    disturbance: Disturbance | None

    def of(self, variant: str, stage: str = TOTAL) -> Spread:
        """Milliseconds of a stage."""
        return spread(self.ms[variant].get(stage, []))

    def ratio(self, above: str, below: str, above_stage: str = TOTAL, below_stage: str = TOTAL) -> Spread:
        """How many times as long one takes as the other, paired round by round."""
        a, b = np.array(self.ms[above][above_stage]), np.array(self.ms[below][below_stage])
        return spread(a / b)

    def as_json(self) -> dict[str, Any]:
        """Quartiles of everything, for a report."""
        return {
            "rounds_run": self.rounds,
            "disturbance": self.disturbance and asdict(self.disturbance),
            "ms_25_50_75": {
                variant: {
                    stage: [s.q25, s.median, s.q75] for stage in stages if (s := self.of(variant, stage))
                }
                for variant, stages in self.ms.items()
            },
        }


def timed(function: Callable[[int], object]) -> Run:
    """A run that only has a total."""

    def run(number: int) -> dict[str, float]:
        start = perf_counter()
        function(number)
        return {TOTAL: perf_counter() - start}

    return run


def interleave(
    runs: Mapping[str, Run],
    rounds: int,
    *,
    warm_up: int = 3,
    spare: float = 0.5,
    settle: float = 0.005,
    processes: Sequence[int] = (),
) -> Samples:
    """Let variants take turns.

    Args:
        runs: What to time, by name.
        rounds: Rounds that count.
        warm_up: Rounds before, on the same inputs, that do not.
        spare: Further rounds as a share of ``rounds``, so that disturbed ones can be left out; none are run
            where the system does not say what other processes do.
        settle: Seconds between runs, in which threads that spin come to rest.
        processes: Identifiers of the benchmark's own worker processes.
    """
    for number in range(warm_up):
        for run in runs.values():
            run(number % rounds)
    watch = Watch(processes)
    total = rounds + (round(spare * rounds) if watch.sees else 0)
    names = list(runs)
    taken: list[dict[str, Mapping[str, float]]] = []
    seen: list[Disturbance] = []
    for number in range(total):
        watch.start()
        turn = number % len(names)
        order = names[turn:] + names[:turn]
        taken.append({name: _after_rest(runs[name], number % rounds, settle) for name in order})
        seen.append(watch.stop())
    chosen = np.sort(np.argsort([each.waiting for each in seen], kind="stable")[:rounds])
    ms = {
        name: {
            stage: [1000 * taken[i][name].get(stage, np.nan) for i in chosen]
            for stage in dict.fromkeys(stage for i in chosen for stage in taken[i][name])
        }
        for name in names
    }
    return Samples(ms, total, _median([seen[i] for i in chosen]) if watch.sees else None)


def disturbance_notes(*samples: Samples) -> list[str]:
    """What a reader has to know of other work on the machine: the worst of some measurements."""
    known = [each.disturbance for each in samples if each.disturbance]
    if not known:
        return []
    waiting, elsewhere = (
        100 * max(getattr(each, name) for each in known) for name in ("waiting", "elsewhere")
    )
    return [
        f"In the rounds that count, threads waited for a CPU during {waiting:.0f} % of the time, and other "
        f"processes took {elsewhere:.0f} % of the CPUs."
    ]


def _median(seen: Sequence[Disturbance]) -> Disturbance:
    waiting, elsewhere = ([getattr(each, name) for each in seen] for name in ("waiting", "elsewhere"))
    return Disturbance(round(float(np.median(waiting)), 3), round(float(np.median(elsewhere)), 3))


def _after_rest(run: Run, number: int, settle: float) -> Mapping[str, float]:
    sleep(settle)
    return run(number)


def _short(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
