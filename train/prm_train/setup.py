"""What a recipe makes before the first step: the network and its optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from prm_train.backbones import create_backbone
from prm_train.config import Recipe
from prm_train.fcn import FullyConvolutional
from prm_train.weights import load_weights


def create_network(recipe: Recipe, num_classes: int) -> FullyConvolutional:
    """The network with its weights loaded and its frozen part frozen.

    Raises:
        PrmError: If backbone, weights and frozen blocks do not fit each other.
    """
    network = FullyConvolutional(create_backbone(recipe.backbone), num_classes)
    load_weights(network, recipe.backbone, recipe.weights)
    backbone = network.backbone
    backbone.freeze(
        len(backbone.blocks) if recipe.frozen_backbone else recipe.frozen_blocks,
        head=recipe.frozen_backbone,
        statistics=recipe.frozen_statistics and recipe.weights != "none",
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def create_optimizer(recipe: Recipe, network: FullyConvolutional, steps: int) -> tuple[SGD, OneCycleLR]:
    """SGD and one one-cycle schedule over all epochs; backbone and classifier have rates of their own."""
    trained = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": trained}, {"params": network.classifier.parameters()}]
    rates = [recipe.learning_rate, recipe.head_learning_rate]
    optimizer = SGD(groups, lr=rates[0], momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimizer, rates, total_steps=recipe.epochs * steps, cycle_momentum=False)
    return optimizer, schedule
