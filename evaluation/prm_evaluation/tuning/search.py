"""A deterministic pattern search over ladders of values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prm_proposals.settings import RetrievalSettings

STRIDES = (4, 2, 1)


@dataclass(frozen=True)
class Parameter:
    """One setting and the values it may take.

    Attributes:
        path: Field of :class:`RetrievalSettings`, or of its ``eq6`` or ``walk`` as ``"eq6.alpha"``.
        values: Candidates in rising order.
    """

    path: str
    values: tuple[float, ...]

    def nearest(self, settings: RetrievalSettings) -> int:
        """The step of the ladder that is nearest to the present value."""
        present = get_setting(settings, self.path)
        return min(range(len(self.values)), key=lambda step: abs(self.values[step] - present))


def get_setting(settings: RetrievalSettings, path: str) -> float:
    """Value of a setting by its dotted path."""
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return float(value)


def set_setting(settings: RetrievalSettings, path: str, value: float) -> RetrievalSettings:
    """A copy of ``settings`` with the setting at a dotted path changed.

    Example:
        >>> set_setting(RetrievalSettings(), "eq6.alpha", 2.0).eq6.alpha
        2.0
    """
    group, _, name = path.rpartition(".")
    change: dict[str, Any] = {name: value}
    if group:
        change = {group: replace(getattr(settings, group), **change)}
    return replace(settings, **change)


def pattern_search(
    start: RetrievalSettings,
    parameters: Sequence[Parameter],
    objective: Callable[[RetrievalSettings], float],
    max_evaluations: int,
) -> RetrievalSettings:
    """Move one parameter at a time along its ladder while that raises the objective.

    Strides of 4, 2 and then 1 steps; at each stride the parameters take turns until a whole round moves none.
    The start itself is a candidate, so the result is never worse than it.

    Args:
        start: Where to begin; parameters whose value is on no ladder keep it until a step is better.
        parameters: What may change.
        objective: The higher the better; called once per distinct setting.
        max_evaluations: Stop after so many calls.

    Returns:
        The best settings seen.
    """
    steps = [parameter.nearest(start) for parameter in parameters]
    best, best_value = start, objective(start)
    seen = {tuple(get_setting(start, parameter.path) for parameter in parameters)}
    for stride in STRIDES:
        moved = True
        while moved:
            moved = False
            for index, parameter in enumerate(parameters):
                for direction in (-1, 1):
                    while True:
                        step = steps[index] + direction * stride
                        if not 0 <= step < len(parameter.values):
                            break
                        candidate = set_setting(best, parameter.path, parameter.values[step])
                        key = tuple(get_setting(candidate, p.path) for p in parameters)
                        if key in seen:
                            break
                        if len(seen) >= max_evaluations:
                            return best
                        seen.add(key)
                        value = objective(candidate)
                        if value <= best_value:
                            break
                        best, best_value, steps[index], moved = candidate, value, step, True
    return best
