"""The loop of ``prm-run``: source → segmenter → sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice

from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result, Sink
from prm_runtime.sources import Frame, Source
from prm_runtime.timing import StageTimes

Transform = Callable[[Frame, Instances], Instances]
"""Changes the instances of a frame, as a tracker does; state per ``frame.source`` is its own."""


@dataclass
class Summary:
    """What a run did.

    Attributes:
        frames: Frames that were processed.
        frames_with: Number of frames that hold each label.
    """

    frames: int = 0
    frames_with: Counter[str] = field(default_factory=Counter)


def run_pipeline(
    segmenter: Segmenter,
    source: Source,
    sinks: Sequence[Sink],
    *,
    should_stop: Callable[[], bool],
    on_result: Callable[[Result], None],
    transforms: Sequence[Transform] = (),
) -> Summary:
    """Process a source to its end, until ``should_stop`` or an error; sinks are closed in each case.

    Args:
        segmenter: What finds the instances; it also keeps the stage times.
        source: Frames.
        sinks: Where the results go.
        should_stop: Asked after every frame.
        on_result: Told about every frame after the sinks.
        transforms: Applied to the instances of every frame, in this order, before the sinks see them.
    """
    summary = Summary()
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
        for result in _results(segmenter, source, transforms):
            for sink in sinks:
                sink.write(result)
            summary.frames += 1
            summary.frames_with.update(sorted(set(result.instances.labels)))
            on_result(result)
            if should_stop():
                break
    return summary


def _results(segmenter: Segmenter, source: Source, transforms: Sequence[Transform]) -> Iterator[Result]:
    """The results of all frames in order, as many at a time as the network takes."""
    frames = _timed(source, segmenter.times)
    while some := list(islice(frames, segmenter.batch)):
        names = [frame.stem + frame.number for frame in some]
        evidences = segmenter.evidences([frame.image for frame in some], names)
        for frame, evidence in zip(some, evidences, strict=True):
            instances = segmenter.retrieve(evidence, (frame.image.shape[0], frame.image.shape[1]))
            for transform in transforms:
                instances = transform(frame, instances)
            yield Result(frame, instances, segmenter.times, evidence)


def _timed(source: Source, times: StageTimes) -> Iterator[Frame]:
    frames = iter(source)
    while True:
        with times.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame
