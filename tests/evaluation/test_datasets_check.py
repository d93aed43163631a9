"""Everything that is wrong with a data set, in one message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.media import write_png

from prm_evaluation.datasets import check_dataset, open_dataset
from prm_runtime.console import PrmError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, np.zeros((20, 30, 3), np.uint8))
    return tmp_path


def problems(
    root: Path, table: str, classes: tuple[str, ...] | None = None, *, every_class: bool = True
) -> str:
    (root / "labels.csv").write_text(table)
    with pytest.raises(PrmError) as error:
        check_dataset(open_dataset(root, "train", classes), every_class=every_class)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_sound_data_set_passes(root: Path) -> None:
    (root / "labels.csv").write_text("a.png,cat\nb.png,\n")
    check_dataset(open_dataset(root, "train"))
    check_dataset(open_dataset(root, "train", ("cat", "dog")), every_class=False)


def test_all_problems_are_in_one_message(root: Path) -> None:
    (root / "b.png").write_bytes((root / "b.png").read_bytes()[:40])
    (root / "c.png").write_bytes(b"")
    message = problems(root, "a.png,cat;cow\nb.png,\nc.png,\nd.png,yak\n", ("cat", "dog", "emu"))
    assert message == (
        "the data set cannot be used as it is: "
        f"1 missing pictures: {root / 'd.png'}; "
        f"2 unreadable files: {root / 'b.png'}, {root / 'c.png'}; "
        "2 unknown classes: cow, yak; "
        "2 classes without a picture: dog, emu"
    )


def test_a_picture_that_claims_an_absurd_size_is_unreadable(root: Path) -> None:
    (root / "b.ppm").write_bytes(b"P6 1048576 1048576 255\n")
    assert f"1 unreadable files: {root / 'b.ppm'}" in problems(root, "a.png,cat\nb.ppm,cat\n")


def test_long_lists_are_shortened_but_counted(root: Path) -> None:
    table = "a.png,cat\n" + "".join(f"{n}.png,\n" for n in range(9))
    message = problems(root, table)
    assert "9 missing pictures: " in message
    assert message.endswith(f"{root / '4.png'}, …")


def test_validation_splits_may_lack_a_class_but_have_no_unknown_one(root: Path) -> None:
    message = problems(root, "a.png,cat\nb.png,cow\n", ("cat", "dog"), every_class=False)
    assert message.endswith("as it is: 1 unknown classes: cow")


@pytest.mark.parametrize(
    ("table", "message"), [("", "the split is empty"), ("a.png,\n", "1 no classes: no picture has a label")]
)
def test_nothing_to_learn_from_is_said(table: str, message: str, root: Path) -> None:
    assert message in problems(root, table)


def test_a_folder_is_no_picture(root: Path) -> None:
    (root / "c.png").mkdir()
    assert f"1 missing pictures: {root / 'c.png'}" in problems(root, "a.png,cat\nc.png,cat\n")
