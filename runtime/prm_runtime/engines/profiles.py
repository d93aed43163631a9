"""Optimisation profiles: how large each free dimension of a graph can get, from the dimension's own name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prm_runtime.backends.base import GraphUse
from prm_runtime.errors import PrmError

USUAL_PEAKS = 8
_SIDE = re.compile(r"(height|width)(?:/(\d+))?")


class Range(NamedTuple):
    """The smallest, the usual and the largest extent."""

    smallest: int
    usual: int
    largest: int


def extent_range(extent: int | str, use: GraphUse) -> Range:
    """Range of one dimension of a bundle's graphs.

    Args:
        extent: A number, or the name of a free dimension: ``height`` or ``width`` of the image, ``height/32``
            (a map at that stride) or ``peaks``.
        use: How large images and peak tables get.

    Raises:
        PrmError: If the name is none of these.

    Example:
        >>> extent_range("width/32", GraphUse(smallest=(32, 32), usual=(336, 448), largest=(448, 448)))
        Range(smallest=1, usual=14, largest=14)
    """
    if isinstance(extent, int):
        return Range(extent, extent, extent)
    if extent == "peaks":
        return Range(1, min(USUAL_PEAKS, use.max_peaks), use.max_peaks)
    match = _SIDE.fullmatch(extent)
    if match is None:
        raise PrmError(
            f"no range is known for the graph's dimension {extent!r} (expected height, width, these divided "
            "by a stride, or peaks): export the bundle again"
        )
    axis, stride = ("height", "width").index(match[1]), int(match[2] or 1)
    return Range(*(max(1, size[axis] // stride) for size in (use.smallest, use.usual, use.largest)))


def grid_range(shapes: Iterable[Sequence[Range]]) -> tuple[Range, Range]:
    """Ranges of the values of ``gain_grid``: height and width of the class response maps.

    Args:
        shapes: Of all inputs. The class response maps are as large as the smallest map among them, gates
            (one number for all cells) aside.
    """
    one = Range(1, 1, 1)
    maps = [(shape[2], shape[3]) for shape in shapes if len(shape) == 4]
    return min(
        (sides for sides in maps if sides != (one, one)),
        key=lambda sides: sides[0].largest,
        default=(one, one),
    )
