"""The pipeline of ``prm-run``: sources → segmenter → sinks, each stage in threads of its own.

Decoding (a thread a source), inference (one thread) and drawing and writing (the caller's thread, since windows
belong to it) overlap; between them wait a few frames at most, so a slow stage slows the others and memory stays
bounded. Of a live source only the newest frame waits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

from prm_runtime.channel import Channel, Closed
from prm_runtime.console import PrmError
from prm_runtime.inference import WAIT_S, Inference, Transform
from prm_runtime.latency import Latency
from prm_runtime.outputs import Outputs
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result, Sink
from prm_runtime.sources import Source
from prm_runtime.sources.intake import Intake

__all__ = ["Summary", "Transform", "run_pipeline"]

ROOM = 2  # results that wait for the sinks
JOIN_S = 30.0  # an engine finishes its frame


@dataclass
class Summary:
    """What a run did.

    Attributes:
        frames: Frames that were processed.
        frames_with: Number of frames that hold each label.
        failed: Frames on which the engine failed.
        problems: One line for people about each sink that failed and each source that ended with an error.
        latency: From capture to the last sink, of live sources.
        elapsed_s: Seconds that the run took.
    """

    frames: int = 0
    frames_with: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    latency: Latency = field(default_factory=Latency)
    elapsed_s: float = 0.0


def run_pipeline(
    segmenter: Segmenter,
    sources: Source | Sequence[Source],
    sinks: Sequence[Sink],
    *,
    should_stop: Callable[[], bool],
    on_result: Callable[[Result], None],
    transforms: Sequence[Transform] = (),
) -> Summary:
    """Process sources to their end, until ``should_stop`` or an error; sinks are closed in each case.

    A source that cannot be read, a frame on which the engine fails and a sink that cannot be written to end
    alone; the summary names them.

    Args:
        segmenter: What finds the instances; it also keeps the stage times.
        sources: Frames; of several sources in turn, each in its order.
        sinks: Where the results go.
        should_stop: Asked after every frame, and at least twice a second.
        on_result: Told about every frame after the sinks.
        transforms: Applied to the instances of every frame, in this order, before the sinks see them.

    Raises:
        PrmError: If not one frame could be processed, or no result be written.
    """
    several = list(sources) if isinstance(sources, Sequence) else [sources]
    summary, outputs, start = Summary(), Outputs(sinks), monotonic()
    live = {source.name for source in several if source.is_live}
    intake = Intake(several, segmenter.times, segmenter.batch)
    inference = Inference(segmenter, intake, transforms)
    try:
        for result in _overlapped(inference, 1 if live else ROOM, should_stop):
            outputs.write(result)
            summary.frames += 1
            summary.frames_with.update(sorted(set(result.instances.labels)))
            if result.frame.source in live:
                summary.latency.add(monotonic() - result.frame.captured)
            on_result(result)
    finally:
        intake.close()
        outputs.close()
        summary.elapsed_s = monotonic() - start
    summary.failed = inference.failed
    ended = [source.status.error for source in several]
    summary.problems = outputs.problems + [error for error in ended if error]
    _raise_if_nothing_worked(summary, intake, inference)
    return summary


def _overlapped(inference: Inference, room: int, should_stop: Callable[[], bool]) -> Iterator[Result]:
    """The results of another thread."""
    results: Channel[Result] = Channel(room)
    failure: list[BaseException] = []

    def run() -> None:
        try:
            for result in inference.results():
                results.put(result)
        except Closed:
            pass
        except BaseException as error:
            failure.append(error)
        finally:
            results.close()

    thread = threading.Thread(target=run, name="prm-inference", daemon=True)
    thread.start()
    try:
        while not should_stop():
            result = results.get(WAIT_S)
            if result is not None:
                yield result
    except Closed:
        if failure:
            raise failure[0] from None
    finally:
        results.close()
        inference.stop()
        thread.join(JOIN_S)


def _raise_if_nothing_worked(summary: Summary, intake: Intake, inference: Inference) -> None:
    if summary.frames:
        return
    if intake.errors:
        first = intake.errors[0]
        raise first if isinstance(first, PrmError) and len(intake.errors) == 1 else PrmError(
            "; ".join(summary.problems)
        )
    if inference.last_error is not None:
        raise PrmError(inference.last_error)
