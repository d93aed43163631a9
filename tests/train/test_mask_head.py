"""The mask head: a linear layer on blocks of several strides, and what commutes with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.fixtures.evidence import random_graph
from tests.fixtures.tiny_backbone import TinyBackbone
from tests.oracles import mask_head as oracle
from torch import Tensor, nn

from prm_proposals.pooling import pool_features
from prm_train.backbones import create_backbone
from prm_train.mask_head import MaskHead, create_mask_head

CLASSES = 3


def linear(head: MaskHead) -> nn.Linear:
    """A random linear layer on all channels of a head's blocks."""
    channels = sum(projection.in_channels for projection in head.projections.values())
    return nn.Linear(channels, 1 + CLASSES)


def blocks(channels: dict[int, int], sizes: dict[int, tuple[int, int]]) -> dict[int, Tensor]:
    """Random outputs of blocks, float [1, D_i, h_i, w_i]."""
    return {block: torch.randn(1, count, *sizes[block]) for block, count in channels.items()}


@torch.no_grad()
def pooled(maps: Tensor, graph) -> np.ndarray:
    return pool_features(maps[0].numpy(), graph.labels, graph.count)


@torch.no_grad()
def test_logits_are_one_linear_layer_on_the_enlarged_blocks() -> None:
    head = MaskHead({"block2": 4, "block5": 3, "block7": 2}, {"block2": 1, "block5": 2, "block7": 4}, CLASSES)
    layer = linear(head)
    head.set_linear(layer.weight, layer.bias)
    outputs = blocks({2: 4, 5: 3, 7: 2}, {2: (8, 12), 5: (4, 6), 7: (2, 3)})
    expected = oracle.logits(
        [output[0].numpy() for output in outputs.values()], layer.weight.numpy(), layer.bias.numpy(), 8
    )
    np.testing.assert_allclose(head(outputs)[0].numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_set_linear_takes_the_layer_over() -> None:
    head = MaskHead({"block1": 5, "block2": 6}, {"block1": 1, "block2": 1}, CLASSES)
    layer = linear(head)
    head.set_linear(layer.weight, layer.bias)
    outputs = blocks({1: 5, 2: 6}, {1: (1, 1), 2: (1, 1)})
    features = torch.cat([output.flatten() for output in outputs.values()])
    torch.testing.assert_close(head(outputs).flatten(), layer(features), atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_on_blocks_of_one_stride_it_commutes_with_means_over_superpixels() -> None:
    head = MaskHead({"block1": 5, "block2": 6}, {"block1": 1, "block2": 1}, CLASSES)
    layer, graph = linear(head), random_graph(np.random.default_rng(0))
    head.set_linear(layer.weight, layer.bias)
    outputs = blocks({1: 5, 2: 6}, {1: (6, 8), 2: (6, 8)})
    features = np.concatenate([pooled(output, graph) for output in outputs.values()], axis=1)
    expected = layer(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(pooled(head(outputs), graph), expected, atol=1e-5)


@torch.no_grad()
def test_on_blocks_of_several_strides_it_nearly_does() -> None:
    """Coarse blocks are interpolated twice, to the finest and to pixels: that flattens their peaks."""
    head = MaskHead({"block1": 5, "block2": 6}, {"block1": 1, "block2": 4}, CLASSES)
    layer, graph = linear(head), random_graph(np.random.default_rng(0))
    head.set_linear(layer.weight, layer.bias)
    outputs = blocks({1: 5, 2: 6}, {1: (12, 16), 2: (3, 4)})
    features = np.concatenate([pooled(output, graph) for output in outputs.values()], axis=1)
    expected = layer(torch.from_numpy(features)).numpy()
    error = pooled(head(outputs), graph) - expected
    assert np.abs(error).max() > 1e-4  # else this would be the test above
    assert np.sqrt((error**2).mean()) < 0.05 * expected.std()


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "efficientnet_lite0"])
@torch.no_grad()
def test_it_fits_every_family_of_backbones(name: str) -> None:
    backbone = create_backbone(name).eval()
    head = create_mask_head(backbone, CLASSES)
    _, outputs = backbone.forward_with_blocks(torch.randn(1, 3, 64, 96), backbone.taps)
    finest = max(outputs.values(), key=lambda output: output.shape[-1])
    assert head(outputs).shape == (1, 1 + CLASSES, *finest.shape[2:])
    assert [projection.in_channels for projection in head.projections.values()] == [
        outputs[block].shape[1] for block in backbone.taps
    ]


@pytest.mark.parametrize("training", [True, False])
def test_creating_one_leaves_the_backbone_as_it_was(training: bool) -> None:
    backbone = TinyBackbone()
    backbone.freeze(2)
    backbone.train(training)
    modes = [module.training for module in backbone.modules()]
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    create_mask_head(backbone, CLASSES)
    assert [module.training for module in backbone.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in backbone.state_dict().items())
