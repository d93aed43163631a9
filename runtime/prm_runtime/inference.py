"""The middle of the pipeline: frames in, results out, also when the engine fails on one."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from prm_proposals.evidence import Evidence
from prm_runtime.errors import PrmError
from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sources import Frame, Source
from prm_runtime.sources.errors import SourceError, explain
from prm_runtime.sources.intake import Intake, Taken

Transform = Callable[[Frame, Instances], Instances]
"""Changes the instances of a frame, as a tracker does; state per ``frame.source`` is its own."""

Analyse = Callable[[Sequence[Frame]], Iterator[tuple[Instances, Evidence | None]]]
"""Finds the instances of frames, and says what evidence they come from where the network ran."""

Found = list[tuple[Instances, Evidence | None]]
"""What :data:`Analyse` says of some frames."""

MAX_FAILURES = 10  # in a row of one source, which is then ended
WAIT_S = 0.5
STREAMS = 2  # each more takes the memory of a frame


def streams_for(sources: Sequence[Source], threads: int | None) -> int:
    """How many streams a segmenter should have that a pipeline runs on these sources.

    Of files only frames a second count. Two frames on a core each take less time than one after the other on
    two cores, which wait for each other at every layer.
    """
    return 1 if threads == 1 or any(source.is_live for source in sources) else STREAMS


class Inference:
    """Runs the segmenter on what an intake hands out.

    Of files further frames are begun while one is still in work: retrieval keeps a single core busy, and the
    network leaves some of theirs idle. Results come in the frames' order all the same. Of live sources a
    frame begun early would be an old one, whoever follows objects from frame to frame (``analyse``) needs
    them one by one, and engines that take one frame at a time only get slower.

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
        self._most_of_files = segmenter.backend.in_work if analyse is None else 1
        self._analyse = analyse or self._every_frame
        self._segmenter = segmenter
        self._intake = intake
        self._transforms = transforms
        self._in_a_row: Counter[str] = Counter()
        self.failed = 0
        self.last_error: str | None = None

    def results(self) -> Iterator[Result]:
        """The results of all frames in their order, as many at a time as the network takes.

        Raises:
            PrmError: If a frame cannot be processed for a reason that the user can mend, such as a missing
                gallery: it would come back with every frame.
        """
        begun: deque[tuple[list[Taken], Future[Found]]] = deque()
        batch = self._segmenter.batch
        with ThreadPoolExecutor(self._most_of_files, "prm-segmenter") as threads:
            while begun or not self._intake.has_ended:
                # with a frame in work no time is spent on waiting for another
                if not begun or (len(begun) < self._most_in_work and self._intake.has_enough(batch)):
                    taken = self._intake.take(batch, WAIT_S)
                    begun.append((taken, threads.submit(self._found, taken)))
                else:
                    taken, found = begun.popleft()
                    yield from self._finish(taken, found.result)

    @property
    def _most_in_work(self) -> int:
        # asked each time: whether a stream is live is known with its first frame
        is_live = any(source.is_live for source in self._intake.sources)
        return 1 if is_live else self._most_of_files

    def _found(self, taken: Sequence[Taken]) -> Found:
        return list(self._analyse([one.frame for one in taken]))

    def _finish(self, taken: Sequence[Taken], found: Callable[[], Found]) -> Iterator[Result]:
        """The results of frames that were taken together; if they fail, of each that does not fail alone."""
        try:
            results = [self._result(one.frame, *each) for one, each in zip(taken, found(), strict=True)]
        except PrmError:
            raise
        except Exception as error:
            if len(taken) == 1:
                self._note(taken[0], error)
            else:
                for one in taken:
                    yield from self._finish([one], partial(self._found, [one]))
            return
        for one in taken:
            self._in_a_row[one.source.name] = 0
        yield from results

    def _result(self, frame: Frame, instances: Instances, evidence: Evidence | None) -> Result:
        for transform in self._transforms:
            instances = transform(frame, instances)
        return Result(frame, instances, self._segmenter.times, evidence)

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
