"""Adding up what accumulators have counted on different pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

Accumulator = TypeVar("Accumulator")


def merged(parts: Sequence[Accumulator]) -> Accumulator:
    """The accumulator that would have counted what all parts have, in their order.

    An accumulator keeps counts in arrays, which are added; records in lists, which are joined, one by one
    where it keeps several lists; and other accumulators in lists and dicts. Everything else is a setting, and
    the same in all parts.

    Args:
        parts: At least one, all of one type; the first one is changed and returned.

    Raises:
        ValueError: If the parts have different settings.

    Example:
        >>> from prm_evaluation.metrics import AverageBestOverlap
        >>> merged([AverageBestOverlap(20), AverageBestOverlap(20)]).over_objects()
        nan
    """
    first, *others = parts
    for other in others:
        for name, value in vars(other).items():
            setattr(first, name, _together(getattr(first, name), value, name))
    return first


def _together(mine: Any, other: Any, name: str) -> Any:
    if isinstance(mine, np.ndarray):
        return mine + other
    if isinstance(mine, dict) and mine and all(map(_holds_counts, mine.values())):
        return {key: _together(value, other[key], name) for key, value in mine.items()}
    if isinstance(mine, list):
        if mine and other and all(map(_holds_counts, mine)):
            return [_together(a, b, name) for a, b in zip(mine, other, strict=True)]
        return mine + other
    if _is_accumulator(mine):
        return merged([mine, other])
    if mine != other:
        raise ValueError(f"only accumulators of equal settings can be merged; {name}: {mine} and {other}")
    return mine


def _holds_counts(value: Any) -> bool:
    return isinstance(value, (dict, list)) or _is_accumulator(value)


def _is_accumulator(value: Any) -> bool:
    return hasattr(value, "update") and hasattr(value, "__dict__")
