"""Fitting one linear layer to superpixels whose labels are known, and in part only guessed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from prm_train.config import MaskRecipe


@dataclass(frozen=True)
class StandardFeatures:
    """Features of superpixels, each shifted and scaled to mean 0 and deviation 1 when it is read.

    Attributes:
        values: As they are, float16 [K, D]; may be mapped from a file.
        mean: float32 [D].
        deviation: float32 [D].
    """

    values: NDArray[np.float16]
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, values: NDArray[np.float16], sample: int = 50_000) -> StandardFeatures:
        """Take the moments from a sample of superpixels that is spread evenly over all."""
        rows = np.unique(np.linspace(0, len(values) - 1, sample).astype(np.int64))
        chosen = torch.from_numpy(values[rows]).float()
        return cls(values, chosen.mean(0), chosen.std(0) + 1e-3)  # a feature that never changes stays finite

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Tensor:
        """Standardised features of some superpixels, float32 [n, D]."""
        return (torch.from_numpy(np.array(self.values[rows], np.float32)) - self.mean) / self.deviation

    def on_plain(self, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        """Weight and bias of what does on plain features what ``layer`` does on standardised ones."""
        weight = layer.weight.detach() / self.deviation
        return weight, layer.bias.detach() - weight @ self.mean


@dataclass(frozen=True)
class Targets:
    """What a layer is fitted to.

    Attributes:
        rows: Which superpixels, int64 [n].
        labels: Background or class of each, int64 [n].
        weights: Of each superpixel's loss, mean 1, float32 [n].
        competing: Whether background and classes compete for each, bool [n, 1 + C].
    """

    rows: Tensor
    labels: Tensor
    weights: Tensor
    competing: Tensor


def fit_layer(
    features: StandardFeatures, targets: Targets, recipe: MaskRecipe, seed: int
) -> tuple[nn.Linear, float]:
    """Fit a new linear layer on standardised features by AdamW; the layer and its last epoch's mean loss."""
    torch.manual_seed(seed)
    layer = nn.Linear(features.values.shape[1], targets.competing.shape[1])
    optimizer = AdamW(layer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, len(targets.rows) // recipe.batch_size)
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
        for batch in torch.randperm(len(targets.rows)).tensor_split(steps):
            loss = _loss(layer, features, targets, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            total += loss.item()
    return layer, total / steps


def _loss(layer: nn.Linear, features: StandardFeatures, targets: Targets, batch: Tensor) -> Tensor:
    """Weighted softmax cross entropy among what competes."""
    logits = layer(features[targets.rows[batch].numpy()])
    logits = logits.masked_fill(~targets.competing[batch], -torch.inf)
    losses = F.cross_entropy(logits, targets.labels[batch], reduction="none")
    return (losses * targets.weights[batch]).mean()
