"""What every layer of the oracle is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """A node as it is run.

    Attributes:
        operator: Its operator.
        inputs: Values of its inputs.
        sources: The layers that these came out of, None for images and constants.
        evidence: Û (or W⁺) of each input.
        attributes: Its attributes.
    """

    operator: str
    inputs: list[Any]
    sources: list[Layer | None]
    evidence: list[Any]
    attributes: Mapping[str, Any]

    def pair(self, name: str) -> tuple[int, int]:
        """An attribute of two numbers, (vertical, horizontal), 1 where it is not given."""
        vertical, horizontal = self.attributes.get(name, (1, 1))
        return vertical, horizontal

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right."""
        top, left, bottom, right = self.attributes.get("pads", (0, 0, 0, 0))
        return top, left, bottom, right


Operator = Callable[[Layer], Tensor]
