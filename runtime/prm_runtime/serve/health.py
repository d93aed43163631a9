"""Whether anything can still be seen: what ``/healthz`` answers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from prm_runtime.sources.status import SourceState, SourceStatus


class Condition(StrEnum):
    """What a source's state means to somebody who watches it."""

    ALIVE = "alive"  # delivers, or is being opened
    WAITING = "waiting"  # stalled or being reconnected: no picture, but there may be one again
    FINISHED = "finished"  # came to its end without an error
    DEAD = "dead"  # ended by an error; no picture will come


def condition(status: SourceStatus) -> Condition:
    """What a state means.

    Example:
        >>> condition(SourceStatus("camera", SourceState.ENDED, error="unplugged"))
        <Condition.DEAD: 'dead'>
    """
    if status.state is SourceState.ENDED:
        return Condition.FINISHED if status.error is None else Condition.DEAD
    if status.state in (SourceState.STALLED, SourceState.RETRYING):
        return Condition.WAITING
    return Condition.ALIVE


def is_healthy(statuses: Sequence[SourceStatus]) -> bool:
    """Whether at least one source delivers or has delivered everything."""
    return any(condition(status) in (Condition.ALIVE, Condition.FINISHED) for status in statuses)
