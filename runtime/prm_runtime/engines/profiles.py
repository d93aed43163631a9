"""Optimisation profiles: how large each free dimension of a graph can get, from the dimension's own name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from prm_runtime.backends.base import GraphUse
from prm_runtime.console import PrmError

_SIDE = re.compile(r"(height|width)(?:/(\d+))?")


class Range(NamedTuple):
    """The smallest, the usual and the largest extent."""

    smallest: int
    usual: int
    largest: int


def dimension_range(name: str, use: GraphUse) -> Range:
    """Range of a free dimension of a bundle's graphs.

    Args:
        name: ``height`` or ``width`` of the image, ``height/32`` (a map at that stride) or ``peaks``.
        use: How large images and peak tables get.

    Raises:
        PrmError: If the name is none of these.

    Example:
        >>> dimension_range("width/32", GraphUse(max_side=448, multiple=32))
        Range(smallest=1, usual=14, largest=14)
    """
    if name == "peaks":
        return Range(1, min(8, use.max_peaks), use.max_peaks)
    match = _SIDE.fullmatch(name)
    if match is None:
        raise PrmError(
            f"no range is known for the graph's dimension {name!r} (expected height, width, these divided by "
            "a stride, or peaks): export the bundle again"
        )
    stride = int(match[2] or 1)
    landscape = round(use.max_side * 0.75 / use.multiple) * use.multiple
    usual = use.max_side if match[1] == "width" else max(landscape, use.multiple)
    return Range(*(max(1, side // stride) for side in (use.multiple, usual, use.max_side)))


def grid_range(names: Sequence[str], use: GraphUse) -> list[Range]:
    """Ranges of the values of ``gain_grid``, the height and width of the class response maps.

    Args:
        names: Names of the free dimensions of all inputs beside it; the coarsest stride is that of the maps.
        use: How large images get.
    """
    strides = [int(match[2] or 1) for name in names if (match := _SIDE.fullmatch(name))]
    coarsest = max(strides, default=1)
    return [dimension_range(f"{side}/{coarsest}", use) for side in ("height", "width")]
