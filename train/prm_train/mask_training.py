"""The second stage of training: a mask head from the model's own pseudo-masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prm_proposals.settings import WalkSettings
from prm_runtime.console import PrmError
from prm_train.config import MaskRecipe
from prm_train.data import LabelledPictures
from prm_train.fcn import FullyConvolutional
from prm_train.mask_fitting import StandardFeatures, Targets, fit_layer
from prm_train.mask_head import MaskHead, create_mask_head
from prm_train.pseudo_masks import LabelledRegions, pseudo_labels
from prm_train.region_features import region_features

Report = Callable[[str], None]

LEAST_SHARE = 1e-5
"""A label of fewer of the pixels weighs as one of so many: a few superpixels must not outweigh all others."""


def train_mask_head(
    network: FullyConvolutional,
    pictures: LabelledPictures,
    recipe: MaskRecipe,
    seed: int,
    folder: Path,
    workers: int,
    report: Report,
) -> None:
    """Give a trained network a mask head, in place; all else of it stays as it is, in float32.

    Args:
        network: The network; it is left in eval mode.
        pictures: The training pictures as a device sees them; of their labels only the classes are read.
        recipe: Of the mask head.
        seed: Decides all randomness.
        folder: Where features of superpixels may lie meanwhile.
        workers: Processes that decode pictures and find their superpixels.
        report: Called with one line after each round.

    Raises:
        PrmError: If the pictures teach nothing, see :func:`~prm_train.region_features.region_features` and
            :func:`fit_mask_head`.
    """
    network.float()
    features, regions = region_features(network, pictures, recipe, folder, workers)
    head = create_mask_head(network.backbone, network.classifier.out_channels)
    fit_mask_head(head, features, regions, recipe, seed, report)
    network.mask_head = head


def fit_mask_head(
    head: MaskHead,
    features: NDArray[np.float16],
    pictures: Sequence[LabelledRegions],
    recipe: MaskRecipe,
    seed: int,
    report: Report = lambda _: None,
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
        seed: Seed of each round's initial weights and order of superpixels.
        report: Called with one line after each round.

    Raises:
        PrmError: If no superpixel gets a label.
    """
    sizes = torch.from_numpy(np.concatenate([picture.graph.sizes for picture in pictures]))
    competing = torch.from_numpy(competing_labels(pictures, head.outputs))
    standard = StandardFeatures.of(features)
    walk = WalkSettings(
        boundary_scale=recipe.boundary_scale, lab_scale=recipe.lab_scale, background=recipe.background
    )
    by_maps, by_head = (replace(walk, restart=restart) for restart in (recipe.map_restart, recipe.restart))
    label = partial(pseudo_labels, pictures, by_maps, recipe.map_confidence)
    for number in range(recipe.rounds):
        labels = label()
        rows = torch.from_numpy(np.flatnonzero(labels >= 0))
        if len(rows) == 0:
            raise PrmError(
                "no superpixel of the training pictures is sure of its label: lower map_confidence or"
                " confidence of the recipe's mask_head"
            )
        known = torch.from_numpy(labels.astype(np.int64))[rows]
        weights = balanced_weights(known, sizes[rows], recipe.balance)
        targets = Targets(rows, known, weights, competing[rows])
        layer, loss = fit_layer(standard, targets, recipe, seed + number)
        label = partial(
            pseudo_labels, pictures, by_head, recipe.confidence, partial(_logits, layer, standard)
        )
        report(
            f"mask head, round {number + 1}/{recipe.rounds}: {len(rows) / len(labels):.0%} of the"
            f" superpixels labelled, {(known > 0).float().mean():.0%} of them as objects, loss {loss:.4f}"
        )
    head.set_linear(*standard.on_plain(layer))


def competing_labels(pictures: Sequence[LabelledRegions], count: int) -> NDArray[np.bool_]:
    """Whether the background (always) and each class (if its picture has it) may be a superpixel's label.

    Returns:
        bool [superpixels of all pictures, ``count``], ``count`` 1 + C.
    """
    competing = np.zeros((len(pictures), count), bool)
    competing[:, 0] = True
    for row, picture in zip(competing, pictures, strict=True):
        row[1 + picture.classes] = True
    return np.repeat(competing, [picture.graph.count for picture in pictures], axis=0)


def balanced_weights(labels: Tensor, sizes: Tensor, balance: float) -> Tensor:
    """Pixels of each superpixel times the share of its label's pixels to the power of −``balance``.

    Args:
        labels: Background or class of each superpixel, int64 [n].
        sizes: Pixels of each, float32 [n].
        balance: 0 weighs by pixels alone; with 1 all labels weigh the same in sum.

    Returns:
        float32 [n], with mean 1.
    """
    pixels = torch.bincount(labels, sizes.double())
    shares = (pixels / pixels.sum()).float()
    weights = sizes * shares.clamp(min=LEAST_SHARE)[labels] ** -balance
    return weights / weights.mean()


@torch.no_grad()
def _logits(layer: nn.Linear, features: StandardFeatures, rows: slice) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = layer(features[rows]).numpy()
    return logits
