"""The fully convolutional classifier and its feature taps."""

from __future__ import annotations

import torch
from tests.fixtures.tiny_backbone import tiny_model
from torch import nn

from prm_train.taps import tap_block, tap_name


@torch.no_grad()
def test_maps_are_the_classifier_at_every_cell() -> None:
    model = tiny_model(num_classes=4).eval()
    x = torch.randn(2, 3, 64, 96)
    M, features = model(x), model.backbone(x)
    assert M.shape == (2, 4, 2, 3)
    weight, bias = model.classifier.weight[..., 0, 0], model.classifier.bias
    expected = torch.einsum("cf,nfhw->nchw", weight, features) + bias[:, None, None]
    torch.testing.assert_close(M, expected)


@torch.no_grad()
def test_features_are_the_projected_outputs_of_the_tapped_blocks() -> None:
    model = tiny_model().eval()
    model.taps["block1"], model.taps["block3"] = nn.Conv2d(8, 2, 1), nn.Conv2d(12, 5, 1)
    x = torch.randn(1, 3, 64, 64)
    M, features = model.forward_with_features(x)
    assert torch.equal(M, model(x))
    y = x
    for index, block in enumerate(model.backbone.blocks[:4]):
        y = block(y)
        if index in (1, 3):
            torch.testing.assert_close(features[f"block{index}"], model.taps[f"block{index}"](y))
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "block1": (1, 2, 16, 16),
        "block3": (1, 5, 4, 4),
    }


@torch.no_grad()
def test_without_taps_there_are_no_features() -> None:
    assert tiny_model().eval().forward_with_features(torch.randn(1, 3, 32, 32))[1] == {}


def test_a_taps_name_says_its_block() -> None:
    assert [tap_block(tap_name(block)) for block in (0, 4, 15)] == [0, 4, 15]
