"""What follows the last epoch: the feature taps are fitted and the checkpoint is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prm_train.aggregation import aggregation_settings
from prm_train.checkpoint import CheckpointConfig, save_checkpoint
from prm_train.config import Recipe
from prm_train.data import LabelledPictures, normalise
from prm_train.fcn import FullyConvolutional
from prm_train.pca import fit_taps
from prm_train.taps import tap_block


def write_checkpoint(
    directory: Path,
    network: FullyConvolutional,
    recipe: Recipe,
    classes: tuple[str, ...],
    tap_pictures: LabelledPictures,
    provenance: dict[str, Any],
) -> None:
    """Fit the feature taps of a trained network and write it with everything that is known about it.

    Args:
        directory: Folder of the checkpoint.
        network: The trained network; gets its taps and is left in float32 and in eval mode.
        recipe: How it was trained.
        classes: Class names, by channel of M.
        tap_pictures: Pictures to fit the taps on; their labels are not used.
        provenance: What the checkpoint says about its origin beside the recipe.
    """
    network.float()  # *-true precisions train in another type, checkpoints have one
    fit_taps(network, _tap_inputs(network, recipe, tap_pictures), recipe.tap_dimensions)
    config = CheckpointConfig(
        backbone=recipe.backbone,
        classes=classes,
        input_size=recipe.input_size,
        mean=network.backbone.mean,
        std=network.backbone.std,
        aggregation=aggregation_settings(recipe.aggregation, **recipe.aggregation_options),
        taps={
            name: {"block": tap_block(name), "channels": len(network.get_parameter(f"taps.{name}.weight"))}
            for name in network.taps
        },
        mask_head=network.mask_head is not None,
        provenance=provenance | {"supervision": "image-level labels", "recipe": asdict(recipe)},
    )
    save_checkpoint(directory, network, config)


def _tap_inputs(network: FullyConvolutional, recipe: Recipe, pictures: LabelledPictures) -> Iterator[Tensor]:
    """Pictures spread evenly over the split, one by one: their sizes differ."""
    device = network.classifier.weight.device
    count = min(recipe.tap_pictures, len(pictures))
    for index in torch.linspace(0, len(pictures) - 1, count).long().tolist():
        picture = pictures[index][0][None].to(device)
        yield normalise(picture, network.backbone.mean, network.backbone.std)
