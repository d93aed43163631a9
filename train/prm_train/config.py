"""A training recipe: a table of numbers, read from TOML and overridden on the command line."""

from __future__ import annotations

import tomllib
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from prm_runtime.console import PrmError

Precision = Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MaskRecipe:
    """How a mask head is trained from the model's own pseudo-masks (see :mod:`prm_train.mask_training`).

    Attributes:
        rounds: How often superpixels are labelled and the head is fitted to them: first by the class maps,
            then by the head of the round before.
        map_shift: Cells by which class maps are moved down and right, see ``RetrievalSettings.map_shift``.
        foreground_level: Response relative to the class's maximum where foreground and background balance.
        foreground_scale: Relative response per logit of the first prior.
        boundary_scale: Boundary strength over which a connection of the walk falls to 1/e.
        lab_scale: Lab distance over which it does.
        map_restart: Weight of a superpixel's own prior per pixel while class maps give it.
        restart: The same while a mask head does.
        background: Logits added to the background of the head that labels.
        map_confidence: Share that the winner of the walk from the class maps needs, or nothing is learnt.
        confidence: The same for the walk from a mask head.
        balance: Superpixels weigh by the share of their label's pixels to the power of minus this.
        epochs: Passes over the labelled superpixels in each round.
        batch_size: Superpixels per step.
        learning_rate: Peak of the one-cycle schedule. Few and small steps keep the head from learning the
            pseudo-masks' mistakes.
        weight_decay: Of AdamW.
    """

    rounds: Annotated[int, Field(gt=0)] = 1
    map_shift: Annotated[float, Field(ge=-1, le=1)] = 0.0
    foreground_level: float = 0.1
    foreground_scale: Annotated[float, Field(gt=0)] = 0.06
    boundary_scale: Annotated[float, Field(gt=0)] = 1.5
    lab_scale: Annotated[float, Field(gt=0)] = 30.0
    map_restart: Annotated[float, Field(gt=0)] = 0.005
    restart: Annotated[float, Field(gt=0)] = 0.02
    background: float = 1.5
    map_confidence: Annotated[float, Field(ge=0, lt=1)] = 0.7
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.7
    balance: Annotated[float, Field(ge=0, le=1)] = 0.75
    epochs: Annotated[int, Field(gt=0)] = 3
    batch_size: Annotated[int, Field(gt=0)] = 8192
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """Everything that decides what a training run results in, apart from its data.

    Attributes:
        backbone: Name of the backbone.
        weights: "package", "none" or a file of pretrained weights.
        aggregation: How class response maps become scores.
        aggregation_options: The aggregation's own parameters.
        input_size: Long side of the network's input in pixels.
        epochs: Passes over the training split.
        batch_size: Pictures per step and process.
        learning_rate: Peak of the one-cycle schedule for the backbone.
        head_learning_rate: The same for the classifier.
        momentum: Of SGD.
        weight_decay: Of SGD, on all parameters.
        frozen_statistics: Whether batch norm keeps the pretrained mean and variance while its scale and shift
            learn: small batches estimate them poorly. Without pretrained weights there are none to keep.
        frozen_blocks: How many of the lowest blocks stay as they are; 0 trains everything.
        frozen_backbone: Whether the whole backbone stays as it is and the classifier alone learns.
        cached_views: Into how many views of each picture the frozen part of the backbone looks, once and for
            all: view 0 is the plain picture, the others are augmented, and epoch e trains on view
            e mod cached_views. 0 augments anew in every epoch and keeps nothing.
        least_crop: Least share of a picture's sides that a random crop keeps.
        colour_jitter: Largest relative change of brightness, contrast and saturation.
        tap_dimensions: Channels of each feature tap; a block with fewer keeps all of its own.
        tap_pictures: At most so many training pictures are used to fit the taps.
        mask_head: How a mask head is trained after the classifier; no mask head if None.
        seed: Seed of all randomness.
        precision: Lightning Fabric's precision.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "package"
    aggregation: Literal["peak", "average", "max", "lse", "maxmin", "spn"] = "peak"
    aggregation_options: dict[str, Any] = field(default_factory=dict)
    input_size: Annotated[int, Field(gt=32, multiple_of=32)] = 448
    epochs: Annotated[int, Field(gt=0)] = 8
    batch_size: Annotated[int, Field(gt=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    head_learning_rate: Annotated[float, Field(gt=0)] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    frozen_statistics: bool = True
    frozen_blocks: Annotated[int, Field(ge=0)] = 0
    frozen_backbone: bool = False
    cached_views: Annotated[int, Field(ge=0)] = 0
    least_crop: Annotated[float, Field(gt=0, le=1)] = 0.8
    colour_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.3
    tap_dimensions: Annotated[int, Field(gt=0)] = 16
    tap_pictures: Annotated[int, Field(gt=0)] = 300
    mask_head: MaskRecipe | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Precision = "32-true"

    @model_validator(mode="after")
    def _caches_what_is_frozen(self) -> Recipe:
        if self.cached_views and not (self.frozen_blocks or self.frozen_backbone):
            raise ValueError(
                f"cached_views = {self.cached_views} keeps what the frozen part of the backbone makes, and"
                " nothing is frozen: set frozen_blocks or frozen_backbone, or cached_views = 0"
            )
        return self


def read_recipe(path: Path | None, overrides: dict[str, Any]) -> Recipe:
    """Read a recipe file, or start from the defaults, and apply overrides.

    Args:
        path: TOML file with fields of ``Recipe``.
        overrides: Values that win over the file's; None means not given.

    Raises:
        PrmError: If the file cannot be read, or a field is unknown or out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PrmError(f"cannot read the recipe {path}: {error}") from error
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(map(_problem, error.errors()))
        source = f"recipe {path}" if path else "recipe"
        raise PrmError(f"the {source} does not work out: {problems}") from error


def _problem(item: ErrorDetails) -> str:
    """One of pydantic's findings, with the dotted path of the field if it is about one."""
    if not item["loc"]:
        return item["msg"]
    return f"{'.'.join(map(str, item['loc']))}: {item['msg']}, found {item['input']!r}"
