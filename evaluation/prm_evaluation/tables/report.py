"""The tables all together, for people, for documents and for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from rich import box
from rich.table import Table as RichTable

from prm_evaluation.methods import METHODS
from prm_evaluation.tables.ablation import table_5
from prm_evaluation.tables.baselines import table_4
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.classes import class_table, confusion_table
from prm_evaluation.tables.galleries import table_6
from prm_evaluation.tables.localisation import table_1
from prm_evaluation.tables.quality import figure_6, table_2
from prm_evaluation.tables.rows import Table
from prm_evaluation.tables.semantic import table_3
from prm_evaluation.tables.sizes import size_table
from prm_evaluation.tables.tallies import COUNTED

LEAST_WIDTH = 120
"""Characters of a line from which on no table loses columns."""


_MAKERS: dict[str, Callable[[Sequence[Measured]], Table]] = {
    "1": table_1,
    "2": table_2,
    "fig6": figure_6,
    "3": table_3,
    "4": table_4,
    "5": table_5,
    "6": table_6,
    "sizes": size_table,
}


def all_tables(
    measured: Sequence[Measured], classes: Sequence[str], wanted: Collection[str] = tuple(COUNTED)
) -> list[Table]:
    """The paper's tables and Fig. 6, then figures by size and, for the first bundle, by class.

    Args:
        measured: Bundles, counted for the wanted tables.
        classes: Names by class id.
        wanted: Keys of :data:`~prm_evaluation.tables.tallies.COUNTED`.
    """
    tables = [make(measured) for key, make in _MAKERS.items() if key in wanted]
    if "classes" in wanted:
        tables += [class_table(measured[0], method, classes) for method in METHODS]
    if "confusion" in wanted:
        tables += [confusion_table(measured[0], method, classes) for method in METHODS]
    return tables


def rich_table(table: Table) -> RichTable:
    """A table for the terminal, with its protocol under it."""
    result = RichTable(
        title=_title(table), caption=table.protocol, caption_justify="left", box=box.SIMPLE_HEAD
    )
    result.add_column("")
    for column in table.columns:
        result.add_column(column, justify="right")
    for row in table.rows:
        result.add_row(row.name, *map(_figure, row.cells))
    return result


def markdown(tables: Sequence[Table], basis: str, pictures: Mapping[str, Sequence[str]] | None = None) -> str:
    """All tables as Markdown, each with its protocol and what it was measured on under it.

    Args:
        tables: What to print.
        basis: What was measured on.
        pictures: Links to pictures by the key of the table that they stand under.
    """
    parts = []
    for table in tables:
        lines = [
            f"### {_title(table)}",
            "",
            "| | " + " | ".join(table.columns) + " |",
            "|---|" + "---:|" * len(table.columns),
            *("| " + " | ".join([row.name, *map(_figure, row.cells)]) + " |" for row in table.rows),
            "",
            f"*{basis}.* {table.protocol}",
            "",
            *(f"![{table.title}]({link})\n" for link in (pictures or {}).get(table.key, ())),
        ]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def as_json(tables: Sequence[Table], basis: str, bundles: Sequence[str]) -> dict[str, object]:
    """All tables as plain types; ``null`` where there is no figure."""
    return {
        "bundles": list(bundles),
        "protocol": basis,
        "tables": {
            table.key: {
                "title": table.title,
                "protocol": table.protocol,
                "rows": [
                    {"name": row.name, **dict(zip(table.columns, map(_plain, row.cells), strict=True))}
                    for row in table.rows
                ],
            }
            for table in tables
        },
    }


def _title(table: Table) -> str:
    numbered = f"Table {table.key}. " if table.key.isdigit() else ""
    return f"{numbered}{table.title}, in percent"


def _figure(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.1f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 3)
