"""The choice of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from prm_runtime.auto.cache import ChoiceCache
from prm_runtime.auto.candidates import ChoiceKey, candidates
from prm_runtime.auto.measure import Measured, measure
from prm_runtime.bundle import Bundle
from prm_runtime.errors import PrmError

Measure = Callable[[Bundle, Sequence[str], int | None], Measured]


@dataclass(frozen=True)
class Choice:
    """An engine and why it was taken.

    Attributes:
        backend: A key of :data:`~prm_runtime.backends.BACKENDS`.
        reason: Why, for people.
        seconds: A frame in each engine that was measured; empty where there was no choice.
        unusable: Why other installed engines cannot be used.
    """

    backend: str
    reason: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)


def choose_backend(
    bundle: Bundle,
    threads: int | None = None,
    *,
    many_sizes: bool = False,
    cache: ChoiceCache | None = None,
    measure: Measure = measure,
) -> Choice:
    """The fastest of the installed engines, as measured once and kept in the user's cache.

    Args:
        bundle: The model that is to run.
        threads: CPU threads of the engine; None leaves the choice to it.
        many_sizes: Frames of many sizes are to come, as from a folder of pictures: engines that compile for
            each size are left out.
        cache: Where measurements are kept; the user's cache if None.
        measure: What measures.

    Raises:
        PrmError: If no engine runs.
    """
    names = candidates(many_sizes=many_sizes)
    if len(names) == 1:
        why = "the only one that does not compile for each size" if many_sizes else "the only one installed"
        return Choice(names[0], why)
    cache = cache or ChoiceCache()
    key = ChoiceKey.here(bundle.manifest, names, threads)
    found = cache.load(key)
    if found is None or not found.seconds.keys() <= set(names):
        found = measure(bundle, names, threads)
        with suppress(OSError):  # a cache that cannot be written costs the next start a measurement
            cache.store(key, found)
    if not found.seconds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.unusable.items())
        raise PrmError(
            f"no inference engine runs here ({reasons or 'none is installed'}); see: prm-run doctor"
        )
    chosen = min(found.seconds, key=lambda name: found.seconds[name])
    return Choice(chosen, _reason(chosen, found.seconds), found.seconds, found.unusable)


def _reason(chosen: str, seconds: Mapping[str, float]) -> str:
    if len(seconds) == 1:
        return "the only one that runs"
    others = (f"{1000 * taken:.0f} ms in {name}" for name, taken in seconds.items() if name != chosen)
    return f"the fastest: {1000 * seconds[chosen]:.0f} ms for the network of a frame, {', '.join(others)}"
