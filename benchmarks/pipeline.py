"""What overlapping decoding, segmenting and writing gains: ``prm-run`` on a file against its stages alone.

``python -m benchmarks.pipeline [--source demo/bikes.mp4] [--frames 240] [--rounds 4] [--json FILE]``

The pipeline of ``prm-run --save-video`` and each of its stages alone take turns on the same frames. At best
the pipeline is as fast as the slowest stage; they share the CPUs, so the others' work has to fit beside it.
With few frames its start and end count, when stages wait for the first frame or have seen the last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import prm_runtime.blas  # noqa: F401 (must come before numpy)

# isort: split
import typer
from benchmarks.clip import DEFAULT
from benchmarks.machine import pin_threads
from benchmarks.report import Report, Table, Target, command_line
from benchmarks.timing import Run, Samples, disturbance_notes, interleave, timed
from benchmarks.variant import backends_that_run

from prm_runtime.inference import streams_for
from prm_runtime.instances import SHOWN
from prm_runtime.pipeline import run_pipeline
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result, Sink, VideoFile
from prm_runtime.sources import open_source

STAGES = ("decode", "segment", "draw and write")
PIPELINE, REACH = "prm-run", 0.85


class Kept:
    """A sink that keeps results."""

    def __init__(self) -> None:
        """Start with none."""
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        """Keep one."""
        self.results.append(result)

    def close(self) -> None:
        """Nothing to do."""


def main(
    source: str = DEFAULT,
    frames: Annotated[int, typer.Option(help="Frames of a run, from the clip's start.")] = 240,
    rounds: Annotated[int, typer.Option(help="Runs that count.")] = 4,
    threads: int = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report as JSON.")] = None,
) -> None:
    """Time the pipeline and its stages; prints milliseconds a frame."""
    pin_threads(threads)
    backends = backends_that_run()
    with TemporaryDirectory() as folder:
        numbers = count()

        def video() -> str:
            return str(Path(folder) / f"{next(numbers)}.mp4")

        runs: dict[str, Run] = {}
        for name in backends:
            alone = Segmenter.open(backend=name, threads=threads, min_score=SHOWN)
            streams = streams_for([open_source(source)], threads)
            together = Segmenter.open(backend=name, threads=threads, min_score=SHOWN, streams=streams)
            runs |= {
                f"{name}, {stage}": run
                for stage, run in stages(alone, together, source, frames, video).items()
            }
        samples = interleave(runs, rounds, warm_up=1)
    Report(
        name="pipeline",
        command=command_line("pipeline", sys.argv[1:]),
        protocol=(
            f"voc20-lite0 as shipped, the first {frames} frames of {source}, overlays written as H.264, "
            f"{threads} threads; milliseconds for all {frames} frames, in turn."
        ),
        tables=[table(samples, backends)],
        targets=[target(samples, name) for name in backends],
        notes=disturbance_notes(samples),
        data=samples.as_json(),
    ).finish(json_file)


def stages(
    alone: Segmenter, together: Segmenter, source: str, frames: int, video: Callable[[], str]
) -> dict[str, Run]:
    """The pipeline, and each of its stages alone on what the others made.

    Args:
        alone: Segments frame by frame, each as fast as it can.
        together: Segments in the pipeline, opened as ``prm-run`` opens it for a file.
        source: The clip.
        frames: Its frames to take.
        video: Names a new file.
    """
    kept = Kept()
    piped(alone, source, frames, [kept])
    fps = open_source(source).fps

    def segment(_: int) -> None:
        for result in kept.results:
            alone(result.frame.image)

    def write(_: int) -> None:
        sink = VideoFile(video(), fps)
        for result in kept.results:
            sink.write(Result(result.frame, result.instances, result.times))  # not drawn yet
        sink.close()

    each = (lambda _: list(islice(open_source(source), frames)), segment, write)
    runs = {stage: timed(run) for stage, run in zip(STAGES, each, strict=True)}
    return runs | {PIPELINE: timed(lambda _: piped(together, source, frames, [VideoFile(video(), fps)]))}


def piped(segmenter: Segmenter, source: str, frames: int, sinks: Sequence[Sink]) -> None:
    """The first frames of a clip through the pipeline of ``prm-run``."""
    done: list[Result] = []
    run_pipeline(
        segmenter, open_source(source), sinks, should_stop=lambda: len(done) >= frames, on_result=done.append
    )


def slowest(samples: Samples, backend: str) -> str:
    """The stage that takes longest alone."""
    return max(STAGES, key=lambda stage: samples.of(f"{backend}, {stage}").median)


def table(samples: Samples, backends: Sequence[str]) -> Table:
    """One row per stage, then the pipeline."""
    rows = [
        [stage, *(str(samples.of(f"{name}, {stage}")) for name in backends)] for stage in (*STAGES, PIPELINE)
    ]
    return Table("Stages alone and together", ["", *(f"{name}, ms" for name in backends)], rows)


def target(samples: Samples, backend: str) -> Target:
    """Whether the pipeline keeps up with its slowest stage."""
    stage = slowest(samples, backend)
    share = samples.ratio(f"{backend}, {stage}", f"{backend}, {PIPELINE}")
    return Target(
        f"`prm-run` on a file against its slowest stage ({stage}) alone, {backend}",
        f"≥ {100 * REACH:.0f} % of its rate",
        f"{100 * share.median:.0f} % ({100 * share.q25:.0f} to {100 * share.q75:.0f})",
        share.median >= REACH,
    )


if __name__ == "__main__":
    typer.run(main)
