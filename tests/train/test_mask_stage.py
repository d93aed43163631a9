"""The second stage in a whole run: recipe, training, checkpoint, resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.fixtures.command_line import Command, Finished
from tests.train.conftest import die_after

from prm_train import loop, mask_training
from prm_train.checkpoint import load_checkpoint

RECIPE = """
[mask_head]
rounds = 2
map_confidence = 0.3
confidence = 0.3
batch_size = 64
"""
ENOUGH = ("--epochs", 8, "--learning-rate", 0.1, "--head-learning-rate", 0.2)
"""Until class maps respond."""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def results(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in ("model.safetensors", "config.json")]


def test_a_run_writes_a_checkpoint_with_a_mask_head(
    train_tiny: Command, folder: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = train_tiny(folder, "--config", recipe, "--out", out, *ENOUGH)
    assert result.code == 0, result.err
    assert "mask head, round 1/2: " in result.err
    assert "mask head, round 2/2: " in result.err
    assert not [path.name for path in out.iterdir() if path.name.startswith("tmp")]
    model, config = load_checkpoint(out)
    assert config.mask_head
    assert config.provenance["recipe"]["mask_head"]["rounds"] == 2
    assert model.feature_names == (*model.taps, "mask_logits")
    M, maps = model.forward_with_features(torch.randn(1, 3, 64, 96))
    assert maps["mask_logits"].shape == (1, 1 + M.shape[1], 8, 12)


def test_the_second_stage_leaves_the_classifier_alone(
    train_tiny: Command, folder: Path, recipe: Path, tmp_path: Path
) -> None:
    assert train_tiny(folder, "--config", recipe, "--out", tmp_path / "with", *ENOUGH).code == 0
    assert train_tiny(folder, "--out", tmp_path / "without", *ENOUGH).code == 0
    with_head, without = (load_checkpoint(tmp_path / name)[0].state_dict() for name in ("with", "without"))
    assert {name for name in with_head.keys() - without.keys() if not name.startswith("mask_head.")} == set()
    assert all(torch.equal(with_head[name], value) for name, value in without.items())


def died_in_the_second_stage(
    train_tiny: Command, folder: Path, recipe: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> Finished:
    with monkeypatch.context() as patch:
        patch.setattr(mask_training, "fit_layer", die_after(1, mask_training.fit_layer))
        return train_tiny(folder, "--config", recipe, "--out", out, *ENOUGH)


def test_a_run_that_died_in_the_second_stage_ends_where_an_unbroken_one_does(
    train_tiny: Command, folder: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_tiny(folder, "--config", recipe, "--out", tmp_path / "unbroken", *ENOUGH).code == 0
    out = tmp_path / "broken"
    died = died_in_the_second_stage(train_tiny, folder, recipe, out, monkeypatch)
    assert "killed" in died.err
    assert not (out / "config.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", die_after(0, loop.Trainer._train_step))
        resumed = train_tiny(folder, "--config", recipe, "--out", out, *ENOUGH, "--resume")
    assert resumed.code == 0, resumed.err
    assert results(out) == results(tmp_path / "unbroken")


def test_resuming_with_another_mask_head_is_refused(
    train_tiny: Command, folder: Path, recipe: Path, tmp_path: Path
) -> None:
    assert train_tiny(folder, "--config", recipe, "--out", tmp_path / "run", *ENOUGH).code == 0
    recipe.write_text(RECIPE + "balance = 0.5\n")
    result = train_tiny(folder, "--config", recipe, "--out", tmp_path / "run", *ENOUGH, "--resume")
    assert result.code == 1
    assert "was started with other mask_head: resume with the same" in result.err


def test_a_head_with_nothing_to_learn_from_fails_in_one_line(
    train_tiny: Command, folder: Path, recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text("[mask_head]\nmap_confidence = 0.9999\nforeground_scale = 1e3\n")
    result = train_tiny(folder, "--config", recipe, "--out", tmp_path / "run", *ENOUGH)
    assert result.code == 1
    assert "sure of its label: lower map_confidence" in result.err
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_checkpoint_from_before_there_were_mask_heads_still_loads(
    train_tiny: Command, folder: Path, tmp_path: Path
) -> None:
    assert train_tiny(folder, "--out", tmp_path).code == 0
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["mask_head"]
    path.write_text(json.dumps(config))
    model, config = load_checkpoint(tmp_path)
    assert not config.mask_head
    assert model.feature_names == tuple(model.taps)
