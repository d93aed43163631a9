"""Training on cached features: the same as without a cache, and as exact to resume."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.filesize import decimal
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command
from tests.fixtures.labelled_folder import write_labelled_folder
from tests.train.conftest import die_after

from prm_train import loop
from prm_train.augment import Picture, fit
from prm_train.checkpoint import load_checkpoint
from prm_train.data import LabelledPictures

CACHED = ("--frozen-blocks", 2, "--cached-views", 2)


def step_losses(out: Path) -> list[float]:
    return column(out, "step_loss")


def column(out: Path, name: str) -> list[float]:
    latest = max((out / "csv").glob("version_*"))
    with (latest / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def results(out: Path) -> tuple[bytes, str]:
    return (out / "model.safetensors").read_bytes(), (out / "config.json").read_text()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def unaugmented(image: Picture, rng: np.random.Generator, *, preprocessing: Any, **_: Any) -> Picture:
    return fit(image, preprocessing=preprocessing)


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


@pytest.mark.parametrize(
    "frozen", [("--frozen-blocks", 1), ("--frozen-blocks", 3), ("--frozen-blocks", 5), ("--frozen-backbone",)]
)
@pytest.mark.usefixtures("every_step")
def test_one_view_trains_as_unaugmented_pictures_do(
    frozen: tuple[object, ...],
    train_tiny: Command,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "augment", unaugmented)
    # the average: rounding may move a peak, and the loss would jump
    options = (*frozen, "--val-split", "val", "--epochs", 4, "--aggregation", "average")
    assert train_tiny(folder, "--out", tmp_path / "slow", *options).code == 0
    result = train_tiny(folder, "--out", tmp_path / "fast", *options, "--cached-views", 1)
    assert result.code == 0, result.err

    slow, fast = step_losses(tmp_path / "slow"), step_losses(tmp_path / "fast")
    assert len(fast) == 8
    assert max(slow) - min(slow) > 0.05
    # features are rounded to float16: 11 bits
    assert fast == pytest.approx(slow, rel=2e-3)
    maps = "classification_map"
    assert column(tmp_path / "fast", maps) == pytest.approx(column(tmp_path / "slow", maps), abs=0.05)


@pytest.mark.usefixtures("every_step")
def test_epochs_take_turns_with_views_that_an_uncached_run_would_see(
    train_tiny: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with rates of nothing a loss says which view it was computed on
    options = ("--frozen-backbone", "--learning-rate", 1e-30, "--head-learning-rate", 1e-30, "--seed", 5)
    three = ("--epochs", 5, "--cached-views", 3)
    assert train_tiny(folder, "--out", tmp_path / "cached", *options, *three).code == 0
    assert train_tiny(folder, "--out", tmp_path / "augmented", *options, "--epochs", 3).code == 0
    epochs = column(tmp_path / "cached", "loss")
    assert epochs[3:] == pytest.approx(epochs[:2], rel=1e-6)
    assert column(tmp_path / "augmented", "loss")[1:] == pytest.approx(epochs[1:3], rel=2e-3)
    assert len({round(loss, 5) for loss in epochs}) == 3
    assert len(files(tmp_path / "cached" / "features")) == 3


@pytest.mark.parametrize("loses_cache", [False, True])
@pytest.mark.parametrize("victim", ["_train_step", "_validate"])
def test_a_run_that_died_is_resumed_exactly(
    victim: str,
    loses_cache: bool,
    train_tiny: Command,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = (*CACHED, "--val-split", "val", "--epochs", 3)
    assert train_tiny(folder, "--out", tmp_path / "unbroken", *options).code == 0
    out = tmp_path / "broken"
    calls = 5 if victim == "_train_step" else 2
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, victim, die_after(calls, getattr(loop.Trainer, victim)))
        assert train_tiny(folder, "--out", out, *options).code == 1
    if loses_cache:
        shutil.rmtree(out / "features")
    resumed = train_tiny(folder, "--out", out, *options, "--resume")
    assert resumed.code == 0, resumed.err
    assert "epoch 2/3" not in resumed.err
    assert results(out) == results(tmp_path / "unbroken")


def test_a_death_while_features_are_computed_leaves_no_file(
    train_tiny: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_tiny(folder, "--out", tmp_path / "unbroken", *CACHED).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(LabelledPictures, "__getitem__", die_after(5, LabelledPictures.__getitem__))
        assert train_tiny(folder, "--out", tmp_path / "broken", *CACHED).code == 1
    assert not files(tmp_path / "broken" / "features")
    assert train_tiny(folder, "--out", tmp_path / "broken", *CACHED, "--resume").code == 0
    assert results(tmp_path / "broken") == results(tmp_path / "unbroken")


def test_runs_share_what_they_freeze_and_nothing_else(
    train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    shared = ("--cache", tmp_path / "shared", *CACHED)
    first = train_tiny(folder, "--out", tmp_path / "a", *shared)
    assert first.code == 0
    assert ", 0 bytes still" not in first.err
    once = files(tmp_path / "shared")
    assert len(once) == 2
    again = train_tiny(folder, "--out", tmp_path / "b", *shared, "--aggregation", "max")
    assert again.code == 0, again.err
    assert ", 0 bytes still to be computed" in again.err
    assert files(tmp_path / "shared") == once
    assert not (tmp_path / "b" / "features").exists()

    for number, option in enumerate((["--frozen-blocks", 3], ["--input-size", 96], ["--weights", tmp_path])):
        before = len(files(tmp_path / "shared"))
        if option[0] == "--weights":
            state = load_checkpoint(tmp_path / "a")[0].backbone.state_dict()
            torch.save({name: value + 1e-3 for name, value in state.items()}, tmp_path / "other.pth")
            option = ["--weights", tmp_path / "other.pth"]
        result = train_tiny(folder, "--out", tmp_path / f"c{number}", *shared, *option)
        assert result.code == 0, result.err
        assert len(files(tmp_path / "shared")) == before + 2, option
    assert once.items() <= files(tmp_path / "shared").items()


def test_a_changed_picture_is_looked_at_again(train_tiny: Command, tmp_path: Path) -> None:
    data = write_labelled_folder(tmp_path / "discs")
    shared = ("--cache", tmp_path / "shared", *CACHED)
    assert train_tiny(data, "--out", tmp_path / "a", *shared).code == 0
    (data / "3.png").write_bytes((data / "4.png").read_bytes())
    assert train_tiny(data, "--out", tmp_path / "b", *shared).code == 0
    assert len(files(tmp_path / "shared")) == 4


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_train_on_cached_features(
    precision: str, train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    result = train_tiny(folder, "--out", tmp_path, *CACHED, "--precision", precision, "--val-split", "val")
    assert result.code == 0, result.err
    assert load_checkpoint(tmp_path)[0].classifier.weight.dtype == torch.float32


def test_what_a_cache_needs_is_said_and_too_much_is_refused(
    train_tiny: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 8 pictures of 8 channels at stride 4, in two views
    expected = 8 * tiny_backbone.CHANNELS[1] * (48 // 4) * (64 // 4) * 2 * 2
    result = train_tiny(folder, "--out", tmp_path / "run", *CACHED)
    sizes = sum(map(len, files(tmp_path / "run" / "features").values()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
    refused = train_tiny(folder, "--out", tmp_path / "full", *CACHED)
    # 48 pixels become 64 where sides are multiples of 32
    assert sizes in (expected, expected * 64 // 48)
    assert f"cached features: {decimal(sizes)} on disk in" in result.err
    assert refused.code == 1
    assert f"cached features need {decimal(sizes)} more in" in refused.err
    assert "lower cached_views, or give another --cache" in refused.err


def test_without_anything_frozen_there_is_nothing_to_cache(
    train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    refused = train_tiny(folder, "--out", tmp_path / "run", "--cached-views", 2)
    assert refused.code == 1
    assert "nothing is frozen: set frozen_blocks or frozen_backbone" in refused.err
    assert not (tmp_path / "run").exists()


def test_features_beyond_float16_are_refused(
    train_tiny: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "normalise", None)
    monkeypatch.setattr("prm_train.cache.normalise", lambda pictures, *_: pictures.float() * 1e9)
    refused = train_tiny(folder, "--out", tmp_path / "run", *CACHED)
    assert refused.code == 1
    assert "beyond float16 (65504): train with cached_views = 0" in refused.err
    assert not files(tmp_path / "run" / "features")
