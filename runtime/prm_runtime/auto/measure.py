"""A short measurement of engines: the network of a bundle on one frame, in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.backends import Backend, GraphUse, create_backend
from prm_runtime.backends.base import BuildsEngines
from prm_runtime.bundle import Bundle
from prm_runtime.errors import PrmError
from prm_runtime.network import Network

PEAKS = 2
"""As many as a usual frame has."""
SECONDS, MOST_ROUNDS, LEAST_ROUNDS = 1.5, 20, 3
Step = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """What came out.

    Attributes:
        seconds: The fastest frame of each engine that runs.
        unusable: Why the others do not.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)


def measure(bundle: Bundle, names: Sequence[str], threads: int | None) -> Measured:
    """Time a frame's forward and back-propagation in each engine.

    They take turns and the fastest round of each counts, so that other work on the machine matters little.
    Takes about 1.5 s beside compiling. Engines that would first be built for minutes are left out.

    Args:
        bundle: The model.
        names: Keys of :data:`~prm_runtime.backends.BACKENDS`.
        threads: CPU threads of the engines.
    """
    found = Measured()
    steps: dict[str, Step] = {}
    for name in names:
        try:
            steps[name] = _step(bundle, create_backend(name, threads))
        except (PrmError, ImportError, OSError) as error:
            found.unusable[name] = str(error)
    found.seconds.update(fastest(steps))
    return found


def fastest(
    steps: dict[str, Step], budget: float = SECONDS, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """Seconds of the fastest call of each step; they take turns until the budget is spent."""
    best = dict.fromkeys(steps, float("inf"))
    end = clock() + budget
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and clock() > end:
            break
        for name, step in steps.items():
            start = clock()
            step()
            best[name] = min(best[name], clock() - start)
    return best


def _step(bundle: Bundle, backend: Backend) -> Step:
    """A frame on an engine, after a first run that compiles.

    Raises:
        PrmError: If its engines are not built yet.
    """
    use = GraphUse.of(bundle.manifest)
    if isinstance(backend, BuildsEngines) and not backend.has_engines(bundle):
        raise PrmError("its engines are not built yet: prm-export engines NAME.prm builds them")
    network, frame = Network(bundle, backend), _frame(use.usual)
    height, width = use.usual

    def run() -> None:
        with network.turn:
            maps = network.respond([frame] * network.batch)[0]
            peaks = maps["peaks"][0]
            live = np.flatnonzero(peaks[:, 0] >= 0)[:PEAKS]
            network.back_propagate(peaks, live, maps, (height, width))

    run()
    return run


def _frame(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame with something at every scale, the same every time."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
