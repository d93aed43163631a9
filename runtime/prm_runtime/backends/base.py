"""What the runtime asks of an inference engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from prm_runtime.errors import PrmError
from prm_runtime.manifest import Manifest, Size
from prm_runtime.preprocess import input_size

if TYPE_CHECKING:
    from prm_runtime.bundle import Bundle

USUAL_FRAME = (3, 4)  # height and width, as most cameras and data sets have them


class EngineMissingError(PrmError):
    """A graph that is fine, but has to be built for this machine first."""


@dataclass(frozen=True)
class GraphUse:
    """How a graph will be used, which engines that compile ahead or own their memory want to know.

    Attributes:
        smallest: Height and width of the smallest image.
        usual: Height and width of the image to be fast on.
        largest: Height and width of the largest image.
        max_peaks: Most peaks at a time.
        resident: Outputs that only another graph of the same backend reads. They may stay where they were
            computed, as arrays of the engine's own kind, and last until the graph's next run.
        reread: Gives the graph's bytes once more, so that an engine that may need them later need not keep
            them; None where they can only be kept.
    """

    smallest: Size = (32, 32)
    usual: Size = (336, 448)
    largest: Size = (448, 448)
    max_peaks: int = 64
    resident: frozenset[str] = frozenset()
    reread: Callable[[], bytes] | None = None

    @classmethod
    def of(cls, manifest: Manifest, resident: frozenset[str] = frozenset()) -> GraphUse:
        """How a bundle's graphs are used."""
        settings = manifest.preprocessing
        profile, side = settings.profile, settings.multiple
        smallest, usual, largest = (
            ((side, side), input_size(*USUAL_FRAME, settings), input_size(1, 1, settings))
            if profile is None
            else (profile.min, profile.opt, profile.max)
        )
        return cls(smallest, usual, largest, manifest.peaks.max_peaks, resident)


ANY_USE = GraphUse()


class Graph(Protocol):
    """A compiled graph."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph on one array per input and return one array per output, by name.

        What is resident (:class:`GraphUse`) may be arrays of another kind, for this backend alone.
        """
        ...


class Backend(Protocol):
    """An inference engine.

    Attributes:
        concurrent: Whether several threads may run its graphs at once, and outputs last.
        threads: CPU threads of a run; None where it chooses itself.
        in_work: How many frames of files are best in work at once, so that neither the engine waits nor what
            is done before and after it.
    """

    concurrent: bool
    threads: int | None
    in_work: int

    @property
    def description(self) -> str:
        """Engine, version and device that are really used, for people."""
        ...

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> Graph:
        """Compile a serialised ONNX model."""
        ...


def threads_of_each(threads: int | None, streams: int) -> int | None:
    """How many of ``threads`` CPU threads, None standing for all, each of several runs at once gets."""
    return threads if streams == 1 else max(1, (threads or usable_cpus()) // streams)


def usable_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@runtime_checkable
class BuildsEngines(Protocol):
    """A backend whose engines take minutes to build, once."""

    def has_engines(self, bundle: Bundle) -> bool:
        """Whether those of a bundle are there."""
        ...
