"""A folder of pictures with a table of labels: one's own data in five minutes."""

from __future__ import annotations

import csv
from pathlib import Path

from prm_evaluation.datasets.sample import Sample
from prm_runtime.console import PrmError


class FolderDataset:
    """Pictures listed in ``<split>.csv``, or in ``labels.csv`` for the split "train".

    Each row is ``file,label;label``: a path relative to the folder and any number of labels, none for a
    picture of nothing. A first row that starts with ``file`` is a header. Paths with a comma are quoted, as
    usual in CSV.

    Args:
        root: The folder.
        split: Which table to read.
        classes: Class names by class id; all labels of the table in alphabetical order if None.

    Raises:
        PrmError: If there is no such table, it is no text in UTF-8, or it has a malformed or repeated row.
    """

    def __init__(self, root: Path, split: str, classes: tuple[str, ...] | None = None) -> None:
        table = _table(root, split)
        try:
            self.samples = tuple(_read(table))
        except (UnicodeDecodeError, csv.Error) as error:
            raise PrmError(f"{table} cannot be read, save it as CSV in UTF-8: {error}") from error
        self.classes = classes or tuple(
            sorted(frozenset().union(*(sample.labels for sample in self.samples)))
        )


def _table(root: Path, split: str) -> Path:
    names = [f"{split}.csv", *(["labels.csv"] if split == "train" else [])]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise PrmError(
        f"{root} has no {' or '.join(names)}: list its pictures there, one 'file,label;label' a line,"
        " or give a VOC tree (a folder with ImageSets) or a COCO data set (with annotations/instances_*.json)"
    )


def _read(table: Path) -> list[Sample]:
    samples: dict[str, Sample] = {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        for row in rows:
            if not row or (rows.line_num == 1 and row[0].strip().lower() == "file"):
                continue
            if len(row) != 2:
                raise PrmError(
                    f"{table}, line {rows.line_num}: expected 'file,label;label', found {','.join(row)!r}"
                )
            name = row[0].strip()
            if name in samples:
                raise PrmError(
                    f"{table}, line {rows.line_num}: {name} is listed twice: put its labels in one row"
                )
            labels = frozenset(label.strip() for label in row[1].split(";") if label.strip())
            samples[name] = Sample(name, table.parent / name, labels)
    return list(samples.values())
