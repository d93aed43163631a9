"""The classification mAP after each epoch, against its definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command
from torch import Tensor, nn

from prm_evaluation.datasets import open_dataset
from prm_runtime.manifest import Preprocessing
from prm_train.aggregation import create_aggregation
from prm_train.augment import fit
from prm_train.backbones import BACKBONES
from prm_train.checkpoint import load_checkpoint
from prm_train.config import Recipe
from prm_train.data import normalise, read_picture
from prm_train.loop import RunSettings, Trainer

CLASSES = ("blue", "green", "red")
PREPROCESSING = Preprocessing(size=64, mean=(0, 0, 0), std=(1, 1, 1))


def average_precision(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Precision at the score of every positive, on average."""
    return float(np.mean([positive[scores >= score].mean() for score in scores[positive]]))


def write_table(folder: Path, name: str, labels: list[str]) -> None:
    rows = [f"{n}.png,{label}" for n, label in enumerate(labels)]
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Path:
    """The pictures of ``folder``, with room for other tables."""
    copy = tmp_path / "data"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).symlink_to(path)
    return copy


@pytest.mark.parametrize(
    "labels",
    [
        ["red", "green;blue", "blue", "", "red", "red;blue", "green", "red"],
        ["red", "", "", "blue", "red", "", "red", ""],  # no green: it has no precision
    ],
)
def test_it_is_the_mean_average_precision_of_the_classes_that_are_there(
    labels: list[str], train_tiny: Command, data: Path, tmp_path: Path
) -> None:
    write_table(data, "some", labels)
    result = train_tiny(data, "--out", tmp_path / "run", "--val-split", "some", "--batch-size", 3)
    assert result.code == 0, result.err
    assert "Warning" not in result.err
    model, config = load_checkpoint(tmp_path / "run")
    scores = [class_scores(model, sample) for sample in open_dataset(data, "some").samples]
    expected = [
        average_precision(np.array(scores)[:, c], np.array([name in label for label in labels]))
        for c, name in enumerate(CLASSES)
        if any(name in label for label in labels)
    ]
    assert config.provenance["metrics"]["classification_map"] == pytest.approx(np.mean(expected), abs=1e-6)


@torch.no_grad()
def class_scores(model: nn.Module, sample: object) -> NDArray[np.float32]:
    picture = fit(read_picture(sample), preprocessing=PREPROCESSING)
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    x = normalise(planes, tiny_backbone.TinyBackbone.mean, tiny_backbone.TinyBackbone.std)
    return create_aggregation("peak")(model(x))[0].numpy()


def test_a_single_class_can_be_trained_and_measured(train_tiny: Command, data: Path, tmp_path: Path) -> None:
    for name in ("mine", "also"):
        write_table(data, name, ["red", "", "", "red", "", "red", "red", ""])
    result = train_tiny(data, "--split", "mine", "--val-split", "also", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["classes"] == ["red"]


def test_pictures_of_nothing_alone_are_no_validation_split(
    train_tiny: Command, data: Path, tmp_path: Path
) -> None:
    write_table(data, "empty", [""] * 8)
    result = train_tiny(data, "--val-split", "empty", "--out", tmp_path / "run")
    assert result.code == 1
    assert "no picture of the validation split has a label" in result.err


class Foretold(nn.Module):
    """Gives scores that are known, batch by batch, as maps of one cell."""

    def __init__(self, batches: list[list[list[float]]]) -> None:
        super().__init__()
        self.batches: Iterator[list[list[float]]] = iter(batches)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tensor(next(self.batches))[..., None, None], pictures


def test_scores_are_logits_in_every_batch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, tiny_backbone.NAME, tiny_backbone.TinyBackbone)
    write_table(data, "few", ["red", "", "", ""])
    recipe = Recipe(backbone=tiny_backbone.NAME, weights="none", batch_size=2, input_size=64)
    settings = RunSettings(tmp_path / "run", workers=0, resume=False, data_name="few")
    few = open_dataset(data, "few", CLASSES)
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=[])
    trainer = Trainer(fabric, recipe, open_dataset(data, "train"), few, settings)
    # the first batch looks like probabilities, the second does not: taken as such, 0.2 would outrank 0.3
    trainer.model = Foretold([[[0, 0, 0.3], [0, 0, 0.1]], [[0, 0, 0.2], [0, 0, -5.0]]])
    assert trainer._validate() == 1
