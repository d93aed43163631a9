"""What is written after the last epoch."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from tests.fixtures import tiny_backbone
from tests.fixtures.tiny_backbone import tiny_model

from prm_evaluation.datasets import open_dataset
from prm_runtime.manifest import Preprocessing
from prm_train.augment import fit
from prm_train.backbones import BACKBONES
from prm_train.checkpoint import load_checkpoint
from prm_train.config import Recipe
from prm_train.data import Item, LabelledPictures, normalise
from prm_train.finish import write_checkpoint
from prm_train.pca import fit_taps

CLASSES = ("blue", "green", "red")
PREPROCESSING = Preprocessing(size=64, mean=(0, 0, 0), std=(1, 1, 1))
RECIPE = Recipe(
    backbone=tiny_backbone.NAME,
    weights="none",
    aggregation="maxmin",
    aggregation_options={"alpha": 0.5},
    input_size=64,
    tap_dimensions=14,
    tap_pictures=5,
    batch_size=2,
)


class Recorded(LabelledPictures):
    """Pictures that remember which of them were asked for."""

    asked: list[int]

    def __getitem__(self, index: int) -> Item:
        self.asked.append(index)
        return super().__getitem__(index)


@pytest.fixture
def pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.setitem(BACKBONES, tiny_backbone.NAME, tiny_backbone.TinyBackbone)
    transform = partial(fit, preprocessing=PREPROCESSING)
    pictures = Recorded(open_dataset(folder, "train"), transform)
    pictures.asked = []
    return pictures


def test_the_checkpoint_says_everything_about_its_origin(pictures: Recorded, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tiny_model(), RECIPE, CLASSES, pictures, {"data": "discs"})
    _, config = load_checkpoint(tmp_path)
    assert (config.backbone, config.classes, config.input_size) == (tiny_backbone.NAME, CLASSES, 64)
    assert (config.mean, config.std) == (tiny_backbone.TinyBackbone.mean, tiny_backbone.TinyBackbone.std)
    assert config.aggregation == {"name": "maxmin", "k_plus": 0.2, "k_minus": 0.2, "alpha": 0.5}
    assert config.provenance["data"] == "discs"
    assert config.provenance["supervision"] == "image-level labels"
    assert config.provenance["recipe"]["aggregation_options"] == {"alpha": 0.5}
    # two of the blocks have 12 channels only
    assert {name: tap["channels"] for name, tap in config.taps.items()} == {
        "block2": 12,
        "block3": 12,
        "block4": 14,
    }


def test_taps_are_fitted_on_pictures_spread_over_the_split(pictures: Recorded, tmp_path: Path) -> None:
    model = tiny_model()
    write_checkpoint(tmp_path, model, RECIPE, CLASSES, pictures, {})
    assert pictures.asked == [0, 1, 3, 5, 7]
    chosen = torch.stack([pictures[index][0] for index in (0, 1, 3, 5, 7)])
    expected = tiny_model()
    expected.load_state_dict({k: v for k, v in model.state_dict().items() if "taps" not in k})
    fit_taps(expected, [normalise(chosen, model.backbone.mean, model.backbone.std)], 14)
    x = torch.randn(1, 3, 64, 64)
    for name, features in load_checkpoint(tmp_path)[0].forward_with_features(x)[1].items():
        others = expected.forward_with_features(x)[1][name]
        torch.testing.assert_close(features[:, :4], others[:, :4], rtol=0, atol=1e-4)


def test_a_small_split_is_used_whole(pictures: Recorded, tmp_path: Path) -> None:
    recipe = Recipe(backbone=tiny_backbone.NAME, input_size=64, tap_pictures=300, batch_size=3)
    write_checkpoint(tmp_path, tiny_model(), recipe, CLASSES, pictures, {})
    assert pictures.asked == list(range(8))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_whatever_the_network_was_trained_in_the_checkpoint_is_float32(
    dtype: torch.dtype, pictures: Recorded, tmp_path: Path
) -> None:
    model = tiny_model().to(dtype)
    before = model.classifier.weight.float()
    write_checkpoint(tmp_path, model, RECIPE, CLASSES, pictures, {})
    loaded, _ = load_checkpoint(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.classifier.weight, before)
