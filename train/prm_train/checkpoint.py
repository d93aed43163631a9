"""A trained model on disk: ``model.safetensors`` and ``config.json``, no pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prm_runtime.console import PrmError
from prm_train.backbones import create_backbone
from prm_train.backbones.base import Rgb
from prm_train.fcn import FullyConvolutional
from prm_train.mask_head import create_mask_head

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class CheckpointConfig:
    """What a checkpoint says about its model.

    Attributes:
        backbone: Name of the backbone.
        classes: Class names, by channel of M.
        input_size: Side of the square training input in pixels.
        mean: Shift of the input, RGB on 0..255.
        std: Scale of the input, RGB on 0..255.
        aggregation: "name" of the aggregation and its options.
        taps: For each feature tap its "block" and "channels".
        provenance: Data, recipe, epochs and metrics.
        mask_head: Whether the model has a mask head.
        schema_version: Version of this format.
    """

    backbone: str
    classes: tuple[str, ...]
    input_size: int
    mean: Rgb
    std: Rgb
    aggregation: dict[str, Any]
    taps: dict[str, dict[str, int]]
    provenance: dict[str, Any]
    mask_head: bool = False
    schema_version: Literal[1] = 1


def save_checkpoint(directory: Path, model: FullyConvolutional, config: CheckpointConfig) -> None:
    """Write a model, with ``config.json`` last: a checkpoint that has it is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    temporary = directory / f"{MODEL_FILE}.part"
    save_file(state, temporary)
    temporary.replace(directory / MODEL_FILE)
    temporary = directory / f"{CONFIG_FILE}.part"
    temporary.write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")
    temporary.replace(directory / CONFIG_FILE)


def load_checkpoint(directory: Path) -> tuple[FullyConvolutional, CheckpointConfig]:
    """Read a model in eval mode, on the CPU.

    Raises:
        PrmError: If files are missing or damaged, or do not fit each other.
    """
    config_path, model_path = directory / CONFIG_FILE, directory / MODEL_FILE
    for path in (config_path, model_path):
        if not path.is_file():
            raise PrmError(
                f"{directory} is no checkpoint: {path.name} is missing; give the folder of prm-train --out"
            )
    try:
        config = TypeAdapter(CheckpointConfig).validate_json(config_path.read_bytes())
        state = load_file(model_path)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PrmError(f"{config_path} is damaged at '{where}': {first['msg']}") from error
    except SafetensorError as error:
        raise PrmError(f"{model_path} is damaged: {error}") from error
    model = FullyConvolutional(create_backbone(config.backbone), len(config.classes))
    try:
        for name in config.taps:
            model.taps[name] = _empty_projection(state[f"taps.{name}.weight"])
        if config.mask_head:
            model.mask_head = create_mask_head(model.backbone, len(config.classes))
        model.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise PrmError(f"{model_path} does not fit {config_path.name}: {reason}") from error
    return model.eval(), config


def _empty_projection(weight: Tensor) -> nn.Conv2d:
    dimensions, channels = weight.shape[:2]
    return nn.Conv2d(channels, dimensions, 1).requires_grad_(False)
