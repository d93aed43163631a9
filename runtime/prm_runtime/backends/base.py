"""What the runtime asks of an inference engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from prm_runtime.manifest import Manifest


@dataclass(frozen=True)
class GraphUse:
    """How a graph will be used, which engines that compile ahead or own their memory want to know.

    Attributes:
        max_side: Longest side of the images.
        multiple: What sides are multiples of.
        max_peaks: Most peaks at a time.
        resident: Outputs that only another graph of the same backend reads. They may stay where they were
            computed, as arrays of the engine's own kind, and last until the graph's next run.
    """

    max_side: int = 448
    multiple: int = 32
    max_peaks: int = 64
    resident: frozenset[str] = frozenset()

    @classmethod
    def of(cls, manifest: Manifest, resident: frozenset[str] = frozenset()) -> GraphUse:
        """How a bundle's graphs are used."""
        picture = manifest.preprocessing
        return cls(picture.size, picture.multiple, manifest.peaks.max_peaks, resident)


ANY_USE = GraphUse()


class Graph(Protocol):
    """A compiled graph."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph on one array per input and return one array per output, by name.

        What is resident (:class:`GraphUse`) may be arrays of another kind, for this backend alone.
        """
        ...


class Backend(Protocol):
    """An inference engine."""

    @property
    def description(self) -> str:
        """Engine, version and device that are really used, for people."""
        ...

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> Graph:
        """Compile a serialised ONNX model."""
        ...
