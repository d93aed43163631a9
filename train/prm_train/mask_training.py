"""The second stage of training: a mask head from the model's own pseudo-masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from prm_proposals.settings import WalkSettings
from prm_runtime.console import PrmError
from prm_train.config import MaskRecipe
from prm_train.mask_head import MaskHead
from prm_train.pseudo_masks import LabelledRegions, pseudo_labels

ABSENT = -30.0
"""Logit of a class that a picture is not labelled with: it takes no part in the softmax."""


def train_mask_head(
    head: MaskHead,
    features: NDArray[np.float16],
    pictures: Sequence[LabelledRegions],
    recipe: MaskRecipe,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Label superpixels and fit the head to them, by turns, in place.

    The loss of a superpixel is a softmax over the background and the classes of its picture alone: at run
    time too the classifier says which classes there are, and the head where they are. Superpixels weigh by
    their pixels and by their label's rarity.

    Args:
        head: Mask head of the network that made ``features``.
        features: Of all superpixels, float16 [K, D].
        pictures: What they belong to, in order.
        recipe: Rounds, epochs, rates.
        seed: Seed of the order of the superpixels.
        report: Called with one line after each round.

    Raises:
        PrmError: If no superpixel gets a label.
    """
    count = next(iter(head.projections.values())).out_channels
    sizes = torch.from_numpy(np.concatenate([picture.graph.sizes for picture in pictures]))
    competes = torch.from_numpy(_present(pictures, count))
    moments = _moments(features)
    walk = WalkSettings(
        boundary_scale=recipe.boundary_scale, lab_scale=recipe.lab_scale, background=recipe.background
    )
    layer = nn.Linear(features.shape[1], count)
    for number in range(recipe.rounds):
        if number == 0:
            settings = replace(walk, restart=recipe.map_restart)
            labels = pseudo_labels(pictures, settings, recipe.map_confidence)
        else:
            settings = replace(walk, restart=recipe.restart)
            labels = pseudo_labels(
                pictures, settings, recipe.confidence, partial(_logits, layer, features, moments)
            )
        known = torch.from_numpy(np.flatnonzero(labels >= 0))
        if len(known) == 0:
            raise PrmError(
                "no superpixel of the training pictures is sure of its label: lower map_confidence or"
                " confidence of the recipe's mask_head"
            )
        targets = torch.from_numpy(labels.astype(np.int64))[known]
        weights = sizes[known] * _rarity(targets, sizes[known], recipe.balance, count)
        torch.manual_seed(seed + number)
        layer = nn.Linear(features.shape[1], count)
        known_regions = _KnownRegions(features, moments, known, targets, weights / weights.mean(), competes)
        loss = _fit(layer, known_regions, recipe)
        report(
            f"mask head, round {number + 1}/{recipe.rounds}: {len(known) / len(labels):.0%} of the"
            f" superpixels labelled, {(targets > 0).float().mean():.0%} of them as objects, loss {loss:.4f}"
        )
    mean, deviation = moments
    weight = layer.weight.detach() / deviation
    head.set_linear(weight, layer.bias.detach() - weight @ mean)


@dataclass(frozen=True)
class _KnownRegions:
    """Superpixels with a label: which rows of the features they are, their targets and weights."""

    features: NDArray[np.float16]
    moments: tuple[Tensor, Tensor]
    rows: Tensor
    targets: Tensor
    weights: Tensor
    competes: Tensor

    def loss(self, layer: nn.Linear, batch: Tensor) -> Tensor:
        """Weighted cross entropy of some of them."""
        rows = self.rows[batch]
        logits = layer(_standard(self.features[rows.numpy()], self.moments))
        logits = logits.masked_fill(~self.competes[rows], ABSENT)
        losses = F.cross_entropy(logits, self.targets[batch], reduction="none")
        return (losses * self.weights[batch]).mean()


def _fit(layer: nn.Linear, known: _KnownRegions, recipe: MaskRecipe) -> float:
    """Fit a linear layer on standardised features; the mean loss of the last epoch."""
    optimizer = AdamW(layer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, len(known.rows) // recipe.batch_size)
    schedule = OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=recipe.epochs * steps,
        pct_start=0.2,
        cycle_momentum=False,
    )
    total = 0.0
    for _ in range(recipe.epochs):
        total = 0.0
        for batch in torch.randperm(len(known.rows)).tensor_split(steps):
            loss = known.loss(layer, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            total += loss.item()
    return total / steps


@torch.no_grad()
def _logits(
    layer: nn.Linear, features: NDArray[np.float16], moments: tuple[Tensor, Tensor], rows: slice
) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = layer(_standard(features[rows], moments)).numpy()
    return logits


def _standard(features: NDArray[np.float16], moments: tuple[Tensor, Tensor]) -> Tensor:
    mean, deviation = moments
    return (torch.from_numpy(np.array(features, np.float32)) - mean) / deviation


def _moments(features: NDArray[np.float16], rows: int = 50_000) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature, [D] each, over superpixels spread evenly over all."""
    chosen = np.unique(np.linspace(0, len(features) - 1, rows).astype(np.int64))
    sample = torch.from_numpy(features[chosen]).float()
    return sample.mean(0), sample.std(0) + 1e-3  # a feature that never changes stays finite


def _present(pictures: Sequence[LabelledRegions], count: int) -> NDArray[np.bool_]:
    """Whether background and each class compete for a superpixel, bool [K, count]."""
    present = np.zeros((len(pictures), count), bool)
    present[:, 0] = True
    for row, picture in zip(present, pictures, strict=True):
        row[1 + picture.classes] = True
    return np.repeat(present, [picture.graph.count for picture in pictures], axis=0)


def _rarity(targets: Tensor, sizes: Tensor, balance: float, count: int) -> Tensor:
    """Weight of each superpixel by its label's rarity: the share of the pixels to the power of −balance."""
    pixels = torch.zeros(count).index_add_(0, targets, sizes)
    return (pixels / pixels.sum()).clamp(min=1e-5)[targets] ** -balance
