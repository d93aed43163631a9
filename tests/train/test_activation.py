"""Activation maximisation: the score rises, and equal seeds give equal pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command
from tests.fixtures.tiny_backbone import tiny_model
from torch import nn

from prm_train.activation import ActivationSettings, _blurred, maximise_activation
from prm_train.aggregation import create_aggregation
from prm_train.backbones import BACKBONES, Backbone
from prm_train.checkpoint import CheckpointConfig, save_checkpoint
from prm_train.fcn import FullyConvolutional

MEAN, STD = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)
SETTINGS = ActivationSettings(size=64, steps=20, jitter=4)
CONFIG = CheckpointConfig(
    backbone=tiny_backbone.NAME,
    classes=("cat", "dog", "bird"),
    input_size=64,
    mean=MEAN,
    std=STD,
    aggregation={"name": "peak", "window": 3, "filter": "median"},
    taps={},
    provenance={},
)


def score(model: FullyConvolutional, aggregation: nn.Module, image: np.ndarray, class_id: int) -> float:
    x = (torch.tensor(image).permute(2, 0, 1)[None].float() - 127) / 128
    with torch.no_grad():
        return float(aggregation(model.eval()(x))[0, class_id])


class Colours(Backbone):
    """Mean colours of 32 × 32 cells."""

    out_channels = 3
    taps = ()

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [nn.AvgPool2d(32)]


def colour_model() -> FullyConvolutional:
    """A model whose classes are red, green and blue."""
    model = FullyConvolutional(Colours(), 3)
    with torch.no_grad():
        model.classifier.weight.copy_((2 * torch.eye(3) - 1)[:, :, None, None])
        model.classifier.bias.zero_()
    return model


@pytest.mark.parametrize("name", ["peak", "average", "max"])
@pytest.mark.parametrize("class_id", [0, 1, 2])
def test_the_picture_takes_the_colour_that_the_class_responds_to(name: str, class_id: int) -> None:
    model, aggregation = colour_model(), create_aggregation(name)
    found = maximise_activation(model, aggregation, class_id, MEAN, STD, SETTINGS)
    assert found.image.shape == (64, 64, 3)
    assert found.image.dtype == np.uint8
    assert found.after == pytest.approx(score(model, aggregation, found.image, class_id), abs=1e-5)
    few = maximise_activation(model, aggregation, class_id, MEAN, STD, replace(SETTINGS, steps=4))
    assert found.before == few.before < few.after < found.after
    contrast = 2 * found.image[..., class_id].astype(int) - found.image.sum(axis=-1, dtype=int)
    assert contrast.mean() > -127 + 60  # grey has -127


def test_a_network_is_left_as_it_was_and_rises() -> None:
    model = tiny_model()
    parameters = [parameter.clone() for parameter in model.parameters()]
    settings = replace(SETTINGS, steps=60)
    found = maximise_activation(model, create_aggregation("peak"), 0, MEAN, STD, settings)
    assert found.after > found.before
    for parameter, before in zip(model.parameters(), parameters, strict=True):
        assert torch.equal(parameter, before)
        assert parameter.grad is None


def test_a_seed_decides_the_picture() -> None:
    model, aggregation = tiny_model(), create_aggregation("peak")

    def image(seed: int) -> np.ndarray:
        settings = replace(SETTINGS, seed=seed)
        return maximise_activation(model, aggregation, 1, MEAN, STD, settings).image

    torch.manual_seed(5)  # the global generator has no say
    first = image(0)
    assert (image(0) == first).all()
    assert (image(1) != first).any()


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_the_blur_is_that_of_opencv(sigma: float) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (32, 40, 3)).astype(np.float32)
    picture = torch.tensor(image).permute(2, 0, 1)[None]
    side = 2 * max(1, round(3 * sigma)) + 1
    expected = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    assert np.allclose(_blurred(picture, sigma)[0].permute(1, 2, 0), expected, atol=1e-3)
    assert _blurred(picture, 0.2) is picture


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setitem(BACKBONES, tiny_backbone.NAME, tiny_backbone.TinyBackbone)
    for name in ("peak", "average"):
        config = replace(CONFIG, aggregation={"name": name})
        save_checkpoint(tmp_path / name, tiny_model(), config)
    return [tmp_path / "peak", tmp_path / "average"]


def test_the_command_puts_checkpoints_side_by_side(
    checkpoints: list[Path], prm_train: Command, tmp_path: Path
) -> None:
    out = tmp_path / "dog.png"
    options = ("--class", "dog", "--size", 64, "--steps", 3, "--out", out)
    result = prm_train("activation", *checkpoints, *options)
    assert result.code == 0, result.err
    assert [line.rpartition("/")[2].split(":")[0] for line in result.out.splitlines()] == [
        "peak (tiny, peak)",
        "average (tiny, average)",
    ]
    image = np.asarray(Image.open(out))
    assert image.shape == (64, 2 * 64 + 8, 3)
    assert (image[:, 64:72] == 255).all()
    alone = tmp_path / "alone.png"
    prm_train("activation", checkpoints[1], *options[:-1], alone)
    assert (np.asarray(Image.open(alone)) == image[:, 72:]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--class", "cow", "--out", "cow.png"], "knows no class 'cow'; it knows cat, dog, bird"),
        (["--class", "dog", "--out", "dog.png", "--size", 100], "--size must be a multiple of 32, found 100"),
        (["--class", "dog", "--out", "dog.gif"], "--out must be a .png file in a folder that exists"),
        (["--class", "dog", "--out", "nowhere/dog.png"], "--out must be a .png file in a folder that exists"),
    ],
)
def test_mistakes_end_in_one_clear_line(
    options: list[object],
    message: str,
    checkpoints: list[Path],
    prm_train: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = prm_train("activation", checkpoints[0], *options)
    assert result.code == 1
    assert message in " ".join(result.err.split())
    assert not list(tmp_path.glob("*.png"))
