"""How close ``prm-run`` on a file comes to its slowest stage, and what overlapping the stages is worth.

    python -m benchmarks.pipeline

Each stage alone (decoding, inference, drawing and encoding), all of them one after the other in one thread,
and the pipeline, which overlaps them, take turns on the same frames.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import prm_runtime.blas  # noqa: F401 (must come before numpy)

# isort: split
import typer
from benchmarks.clip import DEFAULT
from benchmarks.machine import pin_threads
from benchmarks.report import Report, Table, Target, command_line
from benchmarks.timing import interleave, timed

from prm_runtime.pipeline import run_pipeline
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result, VideoFile
from prm_runtime.sources import Frame, open_source
from prm_runtime.sources.base import TrackedSource

STAGES = ("decode", "inference", "draw and encode")
SERIAL, PIPELINE = "one after the other", "pipeline"
REACH = 0.85


class FirstFrames(TrackedSource):
    """The first frames of a video, as a source."""

    def __init__(self, source: str, count: int) -> None:
        """Open the video."""
        video = open_source(source)
        super().__init__(video.name)
        self.fps = video.fps
        self._frames = islice(video, count)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        yield from self._frames


def stages(source: str, count: int, segmenter: Segmenter, video: Path) -> dict[str, Callable[[int], object]]:
    """What takes turns; each goes through all frames."""
    frames = list(FirstFrames(source, count))
    fps = open_source(source).fps
    found = [segmenter(frame.image) for frame in frames]

    def decode(_: int) -> None:
        for _frame in FirstFrames(source, count):
            pass

    def infer(_: int) -> None:
        for frame in frames:
            segmenter(frame.image)

    def write(_: int) -> None:
        sink = VideoFile(str(video), fps)
        for frame, instances in zip(frames, found, strict=True):
            sink.write(Result(frame, instances, segmenter.times))
        sink.close()

    def serial(_: int) -> None:
        sink = VideoFile(str(video), fps)
        for frame in FirstFrames(source, count):
            sink.write(Result(frame, segmenter(frame.image), segmenter.times))
        sink.close()

    def overlapped(_: int) -> None:
        run_pipeline(
            segmenter,
            FirstFrames(source, count),
            [VideoFile(str(video), fps)],
            should_stop=lambda: False,
            on_result=lambda _: None,
        )

    return dict(zip(STAGES, (decode, infer, write), strict=True)) | {SERIAL: serial, PIPELINE: overlapped}


def main(
    source: Annotated[str, typer.Argument(help="A video.")] = DEFAULT,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a round.")] = 40,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 6,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs to run on.")] = 2,
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    json: Annotated[Path | None, typer.Option(help="Where to write the report.")] = None,
) -> None:
    """Measure the pipeline against its stages."""
    pin_threads(cpus)
    segmenter = Segmenter.open(model, min_score=0.2)
    with tempfile.TemporaryDirectory() as folder:
        runs = stages(source, frames, segmenter, Path(folder) / "out.mp4")
        samples = interleave({name: timed(run) for name, run in runs.items()}, rounds, warm_up=1)
    slowest = max(STAGES, key=lambda stage: samples.of(stage).median)
    reached, gain = samples.ratio(slowest, PIPELINE), samples.ratio(SERIAL, PIPELINE)
    rows = [
        [name, f"{samples.of(name).median / frames:.1f}", f"{1000 * frames / samples.of(name).median:.1f}"]
        for name in runs
    ]
    Report(
        name="pipeline",
        command=command_line("pipeline", sys.argv[1:]),
        protocol=f"{frames} frames of {Path(source).name} a round, {samples.rounds} rounds of which the "
        f"{rounds} quietest count, {cpus} CPUs, the shipped model unless another is named; each stage alone, "
        "then all of them.",
        tables=[Table("pipeline", ["", "ms a frame", "frames a second"], rows)],
        targets=[
            Target(
                f"rate of the pipeline against its slowest stage ({slowest})",
                f">= {REACH}",
                str(reached),
                reached.median >= REACH,
            )
        ],
        notes=[f"The pipeline is {gain} times as fast as the stages one after the other."],
        data=samples.as_json(),
    ).finish(json)


if __name__ == "__main__":
    typer.run(main)
