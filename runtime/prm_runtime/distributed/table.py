"""Results as Parquet: one row per picture, with the fields of the JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prm_runtime.instances import Instances
from prm_runtime.rle import decode_mask

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("frame", pa.int64()),
        ("time_s", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        (
            "instances",
            pa.list_(
                pa.struct(
                    [
                        ("label", pa.string()),
                        ("class_id", pa.int32()),
                        ("score", pa.float64()),
                        ("peak", pa.list_(pa.float64())),
                        ("box", pa.list_(pa.int64())),
                        (
                            "mask",
                            pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())]),
                        ),
                        ("track_id", pa.int64()),
                    ]
                )
            ),
        ),
        ("problem", pa.string()),
    ]
)
"""The fields of a JSON line, and ``problem``: why there is no result, null where there is one."""

Row = dict[str, Any]


def problem_row(source: str, problem: str) -> Row:
    """The row of a picture that has no result."""
    return {"source": source, "frame": 0, "width": 0, "height": 0, "instances": [], "problem": problem}


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as :data:`SCHEMA` says; what a row lacks is null."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def remove_damaged(folder: Path) -> list[Path]:
    """Delete the files that a killed run left unfinished, and return their paths."""
    damaged = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            pq.read_schema(path)
        except pa.ArrowInvalid:
            path.unlink()
            damaged.append(path)
    return damaged


def finished_sources(folder: Path) -> set[str]:
    """The pictures that have a result; those with a problem are not among them."""
    found: set[str] = set()
    for path in folder.glob("*.parquet"):
        columns = pq.read_table(path, columns=["source", "problem"])
        found |= {
            source
            for source, problem in zip(*(column.to_pylist() for column in columns.columns), strict=True)
            if problem is None
        }
    return found


def read_rows(folder: Path, sources: Iterable[str]) -> Iterator[Row]:
    """The rows of some pictures, in their order; a result where there is one, else the last problem.

    Raises:
        KeyError: If a picture has no row.
    """
    where: dict[str, tuple[Path, int]] = {}
    for path in sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime):
        table = pq.read_table(path, columns=["source", "problem"])
        for number, row in enumerate(table.to_pylist()):
            if row["problem"] is None or row["source"] not in where:
                where[row["source"]] = path, number
    last: tuple[Path, pa.Table] | None = None
    for source in sources:
        path, number = where[source]
        if last is None or last[0] != path:  # neighbours are mostly in one file
            last = path, pq.read_table(path)
        yield last[1].slice(number, 1).to_pylist()[0]


def row_instances(row: Row, classes: Sequence[str]) -> Instances:
    """The instances of a row, without PRMs; scores and peaks as rounded there."""
    found = row["instances"]
    if not found:
        return Instances.empty(classes, row["height"], row["width"])
    return Instances(
        tuple(classes),
        np.array([one["class_id"] for one in found], np.int64),
        np.array([one["score"] for one in found], np.float32),
        np.array([one["peak"] for one in found], np.float32),
        np.array([one["box"] for one in found], np.int64),
        np.stack([decode_mask(one["mask"]) for one in found]),
    )
