"""The end of the pipeline: every result to every sink, and what happens when one of them fails."""

from __future__ import annotations

from collections.abc import Sequence

from av.error import FFmpegError

from prm_runtime.sinks import Result, Sink, SinkError


class Outputs:
    """Writes to sinks; one that fails, as on a full disk, is closed and the others go on.

    Attributes:
        problems: One line for people about each sink that failed.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        """Take over the sinks."""
        self._sinks = list(sinks)
        self.problems: list[str] = []

    def write(self, result: Result) -> None:
        """Write to every sink that still works.

        Raises:
            SinkError: If there were sinks and now all of them have failed.
        """
        for sink in list(self._sinks):
            try:
                sink.write(result)
            except (OSError, FFmpegError, SinkError, MemoryError) as error:
                self._sinks.remove(sink)
                self._note(sink, error)
                self._close(sink)
                if not self._sinks:
                    raise SinkError("; ".join(self.problems)) from None

    def close(self) -> None:
        """Close all sinks, whatever goes wrong with some."""
        while self._sinks:
            self._close(self._sinks.pop())

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except (OSError, FFmpegError, SinkError) as error:
            self._note(sink, error)

    def _note(self, sink: Sink, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problem = f"{sink}: {reason}; what was written before is kept"
        says_what_to_do = isinstance(error, SinkError)
        if says_what_to_do or not any(known.startswith(f"{sink}: ") for known in self.problems):
            self.problems.append(problem)
