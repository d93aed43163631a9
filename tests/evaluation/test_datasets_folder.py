"""A folder of pictures with a table of labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from prm_evaluation.datasets import FolderDataset, Sample, open_dataset
from prm_runtime.console import PrmError


def write(root: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_rows_are_a_path_and_any_number_of_labels(tmp_path: Path) -> None:
    table = 'file,labels\na.jpg,cat\nsub/b.png, dog ; cat;\n"c, d.jpg",bird\n\ne.jpg,\n'
    dataset = FolderDataset(write(tmp_path, table), "train")
    assert dataset.samples == (
        Sample("a.jpg", tmp_path / "a.jpg", frozenset({"cat"})),
        Sample("sub/b.png", tmp_path / "sub" / "b.png", frozenset({"cat", "dog"})),
        Sample("c, d.jpg", tmp_path / "c, d.jpg", frozenset({"bird"})),
        Sample("e.jpg", tmp_path / "e.jpg", frozenset()),
    )
    assert dataset.classes == ("bird", "cat", "dog")


@pytest.mark.parametrize(
    "table",
    ["a.jpg,cat\n", "File,Label\na.jpg,cat", "file,labels\r\na.jpg,cat\r\n", "\ufefffile,\na.jpg,cat"],
)
def test_headers_line_endings_and_byte_order_marks_do_not_matter(table: str, tmp_path: Path) -> None:
    (sample,) = FolderDataset(write(tmp_path, table), "train").samples
    assert (sample.id, sample.labels) == ("a.jpg", {"cat"})


def test_classes_can_be_given_in_an_order_of_ones_own(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, "a.jpg,cat\nb.jpg,dog\n"), "train", ("dog", "cat"))
    assert dataset.classes == ("dog", "cat")


def test_every_split_has_a_table_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg,cat\n")
    write(tmp_path, "b.jpg,dog\n", "val.csv")
    assert [sample.id for sample in open_dataset(tmp_path, "train").samples] == ["a.jpg"]
    assert [sample.id for sample in open_dataset(tmp_path, "val").samples] == ["b.jpg"]
    write(tmp_path, "c.jpg,dog\n", "train.csv")
    assert [sample.id for sample in open_dataset(tmp_path, "train").samples] == ["c.jpg"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a.jpg,cat\nb.jpg\n", "line 2: expected 'file,label;label', found 'b.jpg'"),
        ("a.jpg,cat,dog\n", "line 1: expected 'file,label;label', found 'a.jpg,cat,dog'"),
        ("a.jpg;cat\n", "line 1: expected 'file,label;label', found 'a.jpg;cat'"),
        ("a.jpg,cat\nb.jpg,cat\na.jpg,dog\n", "line 3: a.jpg is listed twice: put its labels in one row"),
        ("a.jpg,wei\xdf\n".encode("latin-1"), "cannot be read, save it as CSV in UTF-8: 'utf-8' codec"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(table: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(PrmError) as error:
        FolderDataset(write(tmp_path, table), "train")
    assert f"{tmp_path / 'labels.csv'}" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_folders_and_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="nowhere does not exist"):
        open_dataset(tmp_path / "nowhere", "train")
    with pytest.raises(PrmError, match=r"has no train\.csv or labels\.csv: .* or give a VOC tree"):
        open_dataset(tmp_path, "train")
    with pytest.raises(PrmError, match=r"has no val\.csv: list its pictures there"):
        open_dataset(write(tmp_path, "a.jpg,cat\n"), "val")
