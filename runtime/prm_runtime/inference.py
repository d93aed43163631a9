"""The middle of the pipeline: frames in, results out, also when the engine fails on one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prm_proposals.evidence import Evidence
from prm_runtime.errors import PrmError
from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sources import Frame
from prm_runtime.sources.errors import SourceError, explain
from prm_runtime.sources.intake import Intake, Taken

Transform = Callable[[Frame, Instances], Instances]
"""Changes the instances of a frame, as a tracker does; state per ``frame.source`` is its own."""

Analyse = Callable[[Sequence[Frame]], Iterator[tuple[Instances, Evidence | None]]]
"""Finds the instances of frames, and says what evidence they come from where the network ran."""

MAX_FAILURES = 10  # in a row of one source, which is then ended
WAIT_S = 0.5


class Inference:
    """Runs the segmenter on what an intake hands out.

    An engine that fails on a frame, or has no memory for it, costs this frame: it is counted and noted, and
    the rest goes on. A source that fails :data:`MAX_FAILURES` times in a row is ended.

    Attributes:
        failed: Frames that failed.
        last_error: The last failure in one line, None if there was none.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        intake: Intake,
        transforms: Sequence[Transform] = (),
        analyse: Analyse | None = None,
    ) -> None:
        """Take the parts; nothing runs yet."""
        self._analyse = analyse or self._every_frame
        self._segmenter = segmenter
        self._intake = intake
        self._transforms = transforms
        self._in_a_row: Counter[str] = Counter()
        self.failed = 0
        self.last_error: str | None = None

    def results(self) -> Iterator[Result]:
        """The results of all frames, as many at a time as the network takes.

        Raises:
            PrmError: If a frame cannot be processed for a reason that the user can mend, such as a missing
                gallery: it would come back with every frame.
        """
        while not self._intake.has_ended:
            yield from self._together(self._intake.take(self._segmenter.batch, WAIT_S))

    def _together(self, taken: Sequence[Taken]) -> Iterator[Result]:
        done = 0
        try:
            for one, result in zip(taken, self._results([one.frame for one in taken]), strict=True):
                self._in_a_row[one.source.name] = 0
                done += 1
                yield result
        except PrmError:
            raise
        except Exception as error:
            if len(taken) == 1:
                self._note(taken[0], error)
            else:  # one of them is to blame: find it
                for one in taken[done:]:
                    yield from self._together([one])

    def _results(self, frames: Sequence[Frame]) -> Iterator[Result]:
        for frame, (instances, evidence) in zip(frames, self._analyse(frames), strict=True):
            for transform in self._transforms:
                instances = transform(frame, instances)
            yield Result(frame, instances, self._segmenter.times, evidence)

    def _every_frame(self, frames: Sequence[Frame]) -> Iterator[tuple[Instances, Evidence | None]]:
        names = [frame.stem + frame.number for frame in frames]
        evidences = self._segmenter.evidences([frame.image for frame in frames], names, lean=True)
        for frame, evidence in zip(frames, evidences, strict=True):
            size = (frame.image.shape[0], frame.image.shape[1])
            yield self._segmenter.retrieve(evidence, size), evidence

    def _note(self, taken: Taken, error: Exception) -> None:
        source, frame = taken.source, taken.frame
        self.failed += 1
        self.last_error = explain(error, f"{frame.source} frame {frame.index}")
        source.skip(self.last_error)
        self._in_a_row[source.name] += 1
        if self._in_a_row[source.name] >= MAX_FAILURES:
            reason = f"given up after {MAX_FAILURES} failures, the last: {self.last_error}"
            self._intake.end(source, SourceError(f"{source.name}: {reason}"))
