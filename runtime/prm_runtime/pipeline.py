"""The pipeline of ``prm-run``: sources → segmenter → sinks, each stage in threads of its own.

Decoding (a thread a source), inference (one frame at a time, of files several) and drawing and writing (the
caller's thread, since windows belong to it) overlap; between them wait a few frames at most, so a slow stage
slows the others and memory stays bounded. Of a live source only the newest frame waits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from time import monotonic

from prm_runtime.channel import Channel, Closed
from prm_runtime.errors import PrmError
from prm_runtime.inference import WAIT_S, Analyse, Inference, Transform
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
    analyse: Analyse | None = None,
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
        analyse: Another way from frames to instances than the segmenter on every frame.

    Raises:
        PrmError: If not one frame could be processed, or no result be written.
    """
    several = sources if isinstance(sources, Sequence) else [sources]
    by_name = {source.name: source for source in several}
    summary, outputs, start = Summary(), Outputs(sinks), monotonic()
    intake = Intake(several, segmenter.times, segmenter.batch)
    inference = Inference(segmenter, intake, transforms, analyse)
    try:
        with closing(_overlapped(inference, intake, should_stop)) as results:
            for result in results:
                outputs.write(result)
                summary.frames += 1
                summary.frames_with.update(sorted(set(result.instances.labels)))
                source = by_name.get(result.frame.source)
                if source is not None and source.is_live:
                    summary.latency.add(monotonic() - result.frame.captured)
                on_result(result)
    finally:
        outputs.close()
        summary.elapsed_s = monotonic() - start
    summary.failed = inference.failed
    ended = [source.status.error for source in by_name.values()]
    summary.problems = outputs.problems + [error for error in ended if error]
    if summary.frames == 0:
        _raise_why(intake, inference)
    return summary


def _overlapped(
    inference: Inference, intake: Intake, should_stop: Callable[[], bool]
) -> Generator[Result, None, None]:
    """The results of another thread; ends the thread and the intake."""
    results: Channel[Result] = Channel(1 if any(source.is_live for source in intake.sources) else ROOM)
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
        intake.close()
        thread.join(JOIN_S)


def _raise_why(intake: Intake, inference: Inference) -> None:
    """Raise what kept every frame from being processed, if anything did."""
    if len(intake.errors) == 1 and isinstance(intake.errors[0], PrmError):
        raise intake.errors[0]
    reasons = [source.status.error for source in intake.sources if source.status.error]
    reasons += [inference.last_error] if inference.last_error else []
    if reasons:
        raise PrmError("; ".join(reasons))
