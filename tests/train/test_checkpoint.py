"""Checkpoints: what is written is read again, and damage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fixtures import tiny_backbone
from tests.fixtures.tiny_backbone import tiny_model

from prm_runtime.console import PrmError
from prm_train import checkpoint
from prm_train.backbones import BACKBONES
from prm_train.checkpoint import CheckpointConfig, load_checkpoint, save_checkpoint
from prm_train.fcn import FullyConvolutional
from prm_train.pca import fit_taps

CONFIG = CheckpointConfig(
    backbone=tiny_backbone.NAME,
    classes=("cat", "dog", "weiße Maus"),
    input_size=64,
    mean=(1.0, 2.0, 3.5),
    std=(4.0, 5.0, 6.0),
    aggregation={"name": "peak", "window": 3, "filter": "median"},
    taps={f"block{block}": {"block": block, "channels": 4} for block in (2, 3, 4)},
    provenance={"data": "discs", "metrics": {"loss": 0.25}},
)


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, tiny_backbone.NAME, tiny_backbone.TinyBackbone)


@pytest.fixture
def model() -> FullyConvolutional:
    model = tiny_model()
    fit_taps(model, [torch.randn(2, 3, 64, 64)], 4)
    return model


@pytest.fixture
def directory(model: FullyConvolutional, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "runs" / "a", model, CONFIG)
    return tmp_path / "runs" / "a"


def test_a_round_trip_changes_nothing(directory: Path, model: FullyConvolutional) -> None:
    loaded, config = load_checkpoint(directory)
    assert config == CONFIG
    assert not loaded.training
    state, expected = loaded.state_dict(), model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    x = torch.randn(1, 3, 96, 64)
    M, features = loaded.forward_with_features(x)
    expected_M, expected_features = model.forward_with_features(x)
    assert torch.equal(M, expected_M)
    assert all(torch.equal(features[name], expected_features[name]) for name in expected_features)
    assert not any(parameter.requires_grad for parameter in loaded.taps.parameters())


def test_a_checkpoint_is_two_files_without_pickles(directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((directory / "config.json").read_text("utf-8"))["classes"][2] == "weiße Maus"
    header_size = int.from_bytes((directory / "model.safetensors").read_bytes()[:8], "little")
    header = json.loads((directory / "model.safetensors").read_bytes()[8 : 8 + header_size])
    assert header["classifier.weight"]["shape"] == [3, 16, 1, 1]


def test_memory_format_and_earlier_contents_do_not_matter(directory: Path) -> None:
    other = tiny_model().to(memory_format=torch.channels_last)
    save_checkpoint(directory, other, replace(CONFIG, taps={}))
    loaded, config = load_checkpoint(directory)
    assert config.taps == {}
    state = loaded.state_dict()
    assert all(torch.equal(state[key], value) for key, value in other.state_dict().items())


def test_a_kill_while_writing_leaves_the_checkpoint_before(
    directory: Path, model: FullyConvolutional, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(state: object, path: Path) -> None:
        path.write_bytes(b"half a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", write_half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(directory, tiny_model(), CONFIG)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(directory.with_name("new"), tiny_model(), CONFIG)
    assert torch.equal(load_checkpoint(directory)[0].classifier.weight, model.classifier.weight)
    with pytest.raises(PrmError, match=r"no checkpoint: config\.json is missing"):
        load_checkpoint(directory.with_name("new"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_files_are_named(name: str, directory: Path) -> None:
    (directory / name).unlink()
    with pytest.raises(PrmError, match=f"is no checkpoint: {name} is missing; give the folder of prm-train"):
        load_checkpoint(directory)


def cut_weights(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_config(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(path.read_text()[:-100])


def change(**values: Any) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_weights, r"model\.safetensors is damaged: "),
        (cut_config, r"config\.json is damaged at '': Invalid JSON"),
        (change(input_size="big"), r"config\.json is damaged at 'input_size': .*integer"),
        (change(mean=[1, 2]), r"config\.json is damaged at 'mean\.2': "),
        (change(schema_version=2), r"config\.json is damaged at 'schema_version': Input should be 1"),
        (change(backbone="resnet19"), "unknown backbone 'resnet19'"),
        (change(backbone="resnet18"), r"model\.safetensors does not fit config\.json: .*Missing key"),
        (change(classes=["cat", "dog"]), r"does not fit config\.json: .*size mismatch for classifier"),
        (change(mask_head=True), r"does not fit config\.json: .*mask_head\.projections"),
        (change(taps={"block9": {"block": 9, "channels": 4}}), r"does not fit config\.json: .*block9"),
    ],
)
def test_damaged_files_are_one_clear_line(
    damage: Callable[[Path], None], message: str, directory: Path
) -> None:
    damage(directory)
    with pytest.raises(PrmError, match=message) as error:
        load_checkpoint(directory)
    assert "\n" not in str(error.value)
