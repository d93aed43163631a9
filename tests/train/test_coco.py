"""Training from the image-level labels of a COCO data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.coco_tree import edit, write_coco_tree
from tests.fixtures.colour_blobs import CLASSES, Blob
from tests.fixtures.command_line import Command

from prm_train.checkpoint import load_checkpoint

SIZE = (48, 64)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Pictures of one disc each, of classes in turn, as train2017 and val2017."""
    rng = np.random.default_rng(0)

    def disc(label: str) -> tuple[Blob, ...]:
        return (Blob(label, int(rng.integers(16, 48)), int(rng.integers(14, 34)), int(rng.integers(9, 14))),)

    for split, count in (("train2017", 24), ("val2017", 6)):
        pictures = {f"{n}": disc(CLASSES[n % len(CLASSES)]) for n in range(count)}
        write_coco_tree(tmp_path / "coco", pictures, split=split, folder=split, size=SIZE)
    return tmp_path / "coco"


def without_masks(tree: Path, split: str) -> None:
    with edit(tree, split) as content:
        for annotation in content["annotations"]:
            annotation["segmentation"] = "no mask"


def test_the_classes_of_coco_are_learnt_from_labels_alone(
    train_tiny: Command, tree: Path, tmp_path: Path
) -> None:
    for split in ("train2017", "val2017"):
        without_masks(tree, split)
    splits = ("--split", "train2017", "--val-split", "val2017")
    rates = ("--epochs", 15, "--learning-rate", 0.1, "--head-learning-rate", 0.2)
    result = train_tiny(tree, "--out", tmp_path / "run", *splits, *rates)
    assert result.code == 0, result.err
    _, config = load_checkpoint(tmp_path / "run")
    assert config.classes == CLASSES
    provenance = json.loads((tmp_path / "run" / "config.json").read_text())["provenance"]
    assert (provenance["data"], provenance["pictures"]) == ("coco train2017", 24)
    assert provenance["metrics"]["classification_map"] > 0.95


def test_a_split_that_is_missing_ends_in_one_clear_line(
    train_tiny: Command, tree: Path, tmp_path: Path
) -> None:
    result = train_tiny(tree, "--out", tmp_path / "run")
    assert result.code == 1
    assert "has no annotations/instances_train.json: of its splits (train2017, val2017) choose" in result.err
    assert not (tmp_path / "run").exists()
