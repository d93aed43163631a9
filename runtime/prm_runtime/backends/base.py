"""What the runtime asks of an inference engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray


class Graph(Protocol):
    """A compiled graph."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph on one array per input and return one array per output, by name."""
        ...


class Backend(Protocol):
    """An inference engine."""

    @property
    def description(self) -> str:
        """Engine, version and device that are really used, for people."""
        ...

    def compile(self, model: bytes) -> Graph:
        """Compile a serialised ONNX model."""
        ...
