"""The training loop on a few drawn pictures."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.fixtures.colour_blobs import Blob
from tests.fixtures.command_line import Command
from tests.fixtures.labelled_folder import write_labelled_folder
from tests.fixtures.voc_tree import write_voc_tree

from prm_train.aggregation import AGGREGATIONS
from prm_train.backbones import create_backbone
from prm_train.checkpoint import load_checkpoint
from prm_train.fcn import FullyConvolutional
from prm_train.weights import load_weights

RESULTS = ("model.safetensors", "config.json")


def logged(out: Path) -> list[dict[str, str]]:
    with (out / "csv" / "version_0" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def per_epoch(out: Path, name: str) -> list[float]:
    return [float(row[name]) for row in logged(out) if row["loss"]]


def results(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in RESULTS]


def test_the_loss_falls_and_the_classes_are_learnt(train_tiny: Command, tmp_path: Path) -> None:
    data = write_labelled_folder(tmp_path / "discs", pictures=24)
    options = ("--val-split", "val", "--epochs", 15, "--learning-rate", 0.1, "--head-learning-rate", 0.2)
    result = train_tiny(data, "--out", tmp_path / "run", *options)
    assert result.code == 0, result.err
    losses = per_epoch(tmp_path / "run", "loss")
    assert len(losses) == 15
    assert losses[-1] < 0.4 * losses[0]
    assert per_epoch(tmp_path / "run", "classification_map")[-1] > 0.95


def test_losses_rates_and_precision_are_logged_as_csv_and_for_tensorboard(
    train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    result = train_tiny(folder, "--out", tmp_path, "--val-split", "val", "--epochs", 3)
    epochs = [row for row in logged(tmp_path) if row["loss"]]
    assert [row["step"] for row in epochs] == ["2", "4", "6"]
    assert all(0 < float(row["classification_map"]) <= 1 for row in epochs)
    steps = [row for row in logged(tmp_path) if row["step_loss"]]
    assert [row["step"] for row in steps] == ["0", "2", "4"]
    assert all(float(row["learning_rate"]) > 0 for row in steps)
    first = f"epoch 1/3: loss {float(epochs[0]['loss']):.4f}, classification_map "
    assert first in result.err

    events = EventAccumulator(str(tmp_path / "tensorboard" / "version_0"))
    events.Reload()
    for name in ("loss", "classification_map"):
        scalars = [event.value for event in events.Scalars(name)]
        assert scalars == pytest.approx([float(row[name]) for row in epochs])
    provenance = json.loads((tmp_path / "config.json").read_text())["provenance"]
    assert provenance["metrics"]["loss"] == pytest.approx(float(epochs[-1]["loss"]))
    assert (provenance["pictures"], provenance["epochs"]) == (8, 3)
    assert provenance["data"] == f"{folder.name} train"


def test_without_a_validation_split_there_is_a_loss_alone(
    train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    assert train_tiny(folder, "--out", tmp_path).code == 0
    assert list(json.loads((tmp_path / "config.json").read_text())["provenance"]["metrics"]) == ["loss"]


def test_a_run_leaves_nothing_half_written(train_tiny: Command, folder: Path, tmp_path: Path) -> None:
    assert train_tiny(folder, "--out", tmp_path).code == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*RESULTS, "state.ckpt", "csv", "tensorboard"}


def test_only_the_seed_decides(train_tiny: Command, folder: Path, tmp_path: Path) -> None:
    for name, *options in (("a",), ("b", "--workers", 2), ("c", "--seed", 1)):
        assert train_tiny(folder, "--out", tmp_path / name, *options).code == 0
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert results(tmp_path / "a")[0] != results(tmp_path / "c")[0]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_every_aggregation_trains(
    aggregation: str, train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    assert train_tiny(folder, "--out", tmp_path, "--aggregation", aggregation).code == 0
    assert load_checkpoint(tmp_path)[1].aggregation["name"] == aggregation


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_give_a_checkpoint_in_float32(
    precision: str, train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    result = train_tiny(folder, "--out", tmp_path, "--val-split", "val", "--precision", precision)
    assert result.code == 0, result.err
    assert all(math.isfinite(loss) for loss in per_epoch(tmp_path, "loss"))
    header = (tmp_path / "model.safetensors").read_bytes()
    header = header[8 : 8 + int.from_bytes(header[:8], "little")]
    dtypes = {entry["dtype"] for name, entry in json.loads(header).items() if "num_batches" not in name}
    assert dtypes == {"F32"}


def test_frozen_blocks_of_a_pretrained_backbone_stay_as_they_were(
    prm_train: Command, folder: Path, tmp_path: Path
) -> None:
    options = ("--input-size", 64, "--batch-size", 4, "--epochs", 1, "--workers", 0, "--accelerator", "cpu")
    result = prm_train(folder, "--out", tmp_path, "--frozen-blocks", 9, *options)
    assert result.code == 0, result.err
    pretrained = FullyConvolutional(create_backbone("efficientnet_lite0"), 3)
    load_weights(pretrained, "efficientnet_lite0", "package")
    trained, _ = load_checkpoint(tmp_path)
    for index, block in enumerate(trained.backbone.blocks):
        before = pretrained.backbone.blocks[index].state_dict()
        unchanged = [bool((before[key] == value).all()) for key, value in block.state_dict().items()]
        assert all(unchanged) == (index < 9)
        statistics = [key for key in before if "running" in key]
        assert all(torch.equal(before[key], block.state_dict()[key]) for key in statistics)
    assert (trained.backbone.state_dict()["_conv_stem.weight"]
            == pretrained.backbone.state_dict()["_conv_stem.weight"]).all()  # fmt: skip


def test_a_voc_tree_trains_as_well(train_tiny: Command, tmp_path: Path) -> None:
    labels = {"a": "red", "b": "green", "c": "red", "d": "green"}
    blobs = {name: (Blob(label, 200, 160, 90),) for name, label in labels.items()}
    tree = write_voc_tree(tmp_path / "VOC2012", blobs)
    options = ("--split", "val", "--val-split", "val", "--classes", "green, red", "--out", tmp_path / "run")
    result = train_tiny(tree, *options)
    assert result.code == 0, result.err
    config = load_checkpoint(tmp_path / "run")[1]
    assert config.classes == ("green", "red")
    assert config.provenance["data"] == "VOC2012 val"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frozen-blocks", 6], "6 blocks cannot be frozen: this backbone has 0 to 5"),
        (["--learning-rate", 1e30, "--aggregation", "max"], "the loss became nan in epoch 1: lower --"),
        (["--weights", "package"], "no installed package holds weights of tiny"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    options: list[object], message: str, train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    result = train_tiny(folder, "--out", tmp_path, *options)
    assert result.code == 1
    assert message in result.err
    assert not any((tmp_path / name).exists() for name in (*RESULTS, "state.ckpt"))
