"""Recipes: every shipped one can be read, and mistakes are named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from prm_runtime.console import PrmError
from prm_train.aggregation import create_aggregation
from prm_train.backbones import create_backbone
from prm_train.config import Recipe, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "train" / "recipes").rglob("*.toml"))


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_can_be_read_and_name_things_that_exist(path: Path) -> None:
    recipe = read_recipe(path, {})
    create_backbone(recipe.backbone).freeze(recipe.frozen_blocks)
    create_aggregation(recipe.aggregation, **recipe.aggregation_options)


def test_without_a_file_there_are_defaults() -> None:
    assert read_recipe(None, {}) == Recipe()


def test_overrides_win_over_the_file_and_none_is_not_given(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('backbone = "resnet18"\nepochs = 3\naggregation_options = { window = 5 }\n')
    recipe = read_recipe(path, {"epochs": 7, "backbone": None, "seed": 0})
    assert (recipe.backbone, recipe.epochs, recipe.seed) == ("resnet18", 7, 0)
    assert recipe.aggregation_options == {"window": 5}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epohcs = 3", "epohcs: Unexpected keyword argument, found 3"),
        ("input_size = 100", "input_size: Input should be a multiple of 32, found 100"),
        ("input_size = 0", "input_size: .*found 0"),
        ("epochs = 0", "epochs: Input should be greater than 0, found 0"),
        ("epochs = 1.5", "epochs: .*found 1.5"),
        ('epochs = "many"', "epochs: .*found 'many'"),
        ("batch_size = 1", "batch_size: Input should be greater than 1, found 1"),
        ("learning_rate = -0.1", "learning_rate: .*found -0.1"),
        ("momentum = 1.0", "momentum: Input should be less than 1, found 1"),
        ("colour_jitter = 1.0", "colour_jitter: .*found 1"),
        ('aggregation = "sum"', "aggregation: Input should be 'peak', 'average', .*found 'sum'"),
        ('precision = "half"', "precision: Input should be '32-true', .*found 'half'"),
        ("frozen_blocks = -1", "frozen_blocks: .*found -1"),
        ("seed = 4294967296", "seed: .*found 4294967296"),
        ("least_crop = 1.5", "least_crop: Input should be less than or equal to 1, found 1.5"),
        ("cached_views = -1", "cached_views: .*found -1"),
        ("cached_views = 2", "cached_views = 2 keeps what the frozen part .* set frozen_blocks or frozen_b"),
        ("epochs = 0\nseed = -1", "epochs: .*; seed: "),
    ],
)
def test_unknown_fields_and_values_out_of_range_are_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(line)
    with pytest.raises(PrmError, match=rf"the recipe .*recipe\.toml does not work out: .*{message}") as error:
        read_recipe(path, {})
    assert "\n" not in str(error.value)


def test_mistakes_in_overrides_are_named_without_a_file() -> None:
    with pytest.raises(PrmError, match=r"^the recipe does not work out: epochs: .*found 0$"):
        read_recipe(None, {"epochs": 0})


@pytest.mark.parametrize("content", [None, b"epochs = ", b"\xff\xfe", b"[epochs]\n[epochs]\n"])
def test_files_that_cannot_be_read_are_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PrmError, match=r"cannot read the recipe .*recipe\.toml"):
        read_recipe(path, {})


def test_every_field_is_documented() -> None:
    assert Recipe.__doc__
    assert all(f"        {field.name}: " in Recipe.__doc__ for field in fields(Recipe))
