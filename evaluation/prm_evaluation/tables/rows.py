"""What every table is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NONE = math.nan
"""A figure that there is not: printed as ``-``, written to JSON as null."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: What was measured.
        cells: One figure per column of the table, ``NONE`` where there is none; integers are counts.
    """

    name: str
    cells: tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """A table of the paper, or one that goes with them.

    Attributes:
        key: Short name: "1", "fig6".
        title: What it shows.
        columns: Headings of the figures; those of the paper's own figures start with "paper".
        rows: The lines.
        protocol: How the figures were obtained, in one paragraph.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    protocol: str

    def __post_init__(self) -> None:
        """Check that each row fills the columns.

        Raises:
            ValueError: If one does not.
        """
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"row '{row.name}' has {len(row.cells)} of {len(self.columns)} cells")


def side_by_side(ours: Sequence[float], paper: Sequence[float]) -> tuple[float, ...]:
    """Cells in which each of our figures is followed by the paper's.

    Example:
        >>> side_by_side([1.0, 2.0], [10.0, 20.0])
        (1.0, 10.0, 2.0, 20.0)
    """
    return tuple(figure for pair in zip(ours, paper, strict=True) for figure in pair)


def side_by_side_columns(measures: Sequence[str]) -> tuple[str, ...]:
    """The headings that go with :func:`side_by_side`."""
    return tuple(heading for measure in measures for heading in (measure, f"paper {measure}"))
