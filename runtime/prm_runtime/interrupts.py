"""Ctrl-C and SIGTERM end a run after the current frame, so that files are finished."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes the first SIGINT or SIGTERM inside its ``with`` block; a second one ends the process as usual.

    Attributes:
        received: The signal, None while there was none.

    Example:
        >>> with Interrupts() as interrupts:
        ...     for frame in frames:
        ...         if interrupts.received:
        ...             break
    """

    def __init__(self) -> None:
        """Install nothing yet."""
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, signal.Handlers] = {}

    def __enter__(self) -> Interrupts:
        """Take over the signals."""
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._note)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        self._restore()

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it; 0 without a signal."""
        return 0 if self.received is None else 128 + self.received

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
