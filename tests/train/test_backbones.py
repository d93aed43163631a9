"""Backbones: known names and sizes, any picture size, and a frozen lower part."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from tests.oracles import torchvision_nets as oracle
from torch import nn
from torch.nn import functional as F

from prm_runtime.console import PrmError
from prm_train.backbones import BACKBONES, Backbone, create_backbone
from prm_train.fcn import FullyConvolutional

# parameters of torchvision's models (of VGG16 without its classifier) and of efficientnet_lite_pytorch's
PARAMETERS = {
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "vgg16": 14_714_688,
}
SHAPES = {
    "resnet18": {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.1.bn2.running_mean": (64,),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
    },
    "resnet34": {"layer3.5.conv1.weight": (256, 256, 3, 3), "layer4.2.bn1.num_batches_tracked": ()},
    "resnet50": {
        "layer1.0.downsample.1.running_var": (256,),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer3.5.conv1.weight": (256, 1024, 1, 1),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
    },
    "vgg16": {"features.0.weight": (64, 3, 3, 3), "features.28.bias": (512,)},
}
REPEATS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


@cache
def random_model(name: str) -> FullyConvolutional:
    """A model in eval mode, with batch norm that is no identity."""
    torch.manual_seed(0)
    model = FullyConvolutional(create_backbone(name), 1000)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.running_var):
                nn.init.uniform_(value, 0.5, 1.5)
            for value in (module.bias, module.running_mean):
                nn.init.normal_(value, std=0.1)
    return model.eval()


@pytest.mark.parametrize("name", BACKBONES)
def test_numbers_of_parameters_are_those_of_the_public_models(name: str) -> None:
    model = random_model(name)
    counted = model.backbone if name == "vgg16" else model  # vgg16's own classifier is left behind
    assert sum(parameter.numel() for parameter in counted.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", SHAPES)
def test_names_and_shapes_are_those_of_torchvision(name: str) -> None:
    state = random_model(name).backbone.state_dict()
    assert {key: tuple(state[key].shape) for key in SHAPES[name]} == SHAPES[name]


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_features_are_what_the_names_say(name: str) -> None:
    backbone = random_model(name).backbone
    x = torch.randn(1, 3, 64, 96)
    state = backbone.state_dict()
    if name == "vgg16":
        expected = oracle.vgg16_features(state, x)
    else:
        expected = oracle.resnet_features(state, REPEATS[name], x)
    torch.testing.assert_close(backbone(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_any_size_that_is_a_multiple_of_32_gives_maps_at_stride_32(name: str) -> None:
    model = random_model(name)
    for height, width in ((32, 32), (96, 64)):
        x = torch.randn(2, 3, height, width)
        M = model(x)
        assert M.shape == (2, 1000, height // 32, width // 32)
        # averaged, the maps are the class scores of the network with global pooling
        weight, bias = model.classifier.weight[..., 0, 0], model.classifier.bias
        scores = F.linear(model.backbone(x).mean((2, 3)), weight, bias)
        torch.testing.assert_close(M.mean((2, 3)), scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_taps_lie_at_strides_8_16_and_32(name: str) -> None:
    backbone = random_model(name).backbone
    x = torch.randn(1, 3, 64, 32)
    features, outputs = backbone.forward_with_blocks(x, backbone.taps)
    assert torch.equal(features, backbone(x))
    assert list(outputs) == sorted(backbone.taps)
    strides = [64 // output.shape[-2] for output in outputs.values()]
    assert strides == ([8, 16, 32, 32] if name.startswith("efficientnet") else [8, 16, 32])
    assert len(backbone.blocks) > max(backbone.taps)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(PrmError, match="unknown backbone 'resnet19': choose one of efficientnet_lite0, "):
        create_backbone("resnet19")


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "vgg16"])
def test_frozen_blocks_get_no_gradient_and_keep_their_statistics(name: str) -> None:
    model = FullyConvolutional(create_backbone(name), 2)
    backbone = model.backbone
    backbone.freeze(3)
    model.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    model(torch.randn(2, 3, 32, 32)).sum().backward()

    frozen = [*backbone.stem_modules, *backbone.blocks[:3]]
    trained = list(backbone.blocks[3:])
    assert all(parameter.grad is None for module in frozen for parameter in module.parameters())
    assert all(parameter.grad is not None for module in trained for parameter in module.parameters())
    assert all(not norm.training for norm in batch_norms(frozen))
    assert all(norm.training for norm in batch_norms(trained))
    own = {id(value) for module in frozen for value in module.state_dict(keep_vars=True).values()}
    for key, value in backbone.state_dict(keep_vars=True).items():
        moved = "running" in key and id(value) not in own
        assert torch.equal(value, before[key]) != moved or "num_batches" in key, key


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_lower_and_upper_part_make_the_whole(name: str) -> None:
    backbone = random_model(name).backbone
    x = torch.randn(1, 3, 64, 32)
    _, outputs = backbone.forward_with_blocks(x, range(len(backbone.blocks)))
    whole = backbone(x)
    for blocks in (0, 1, len(backbone.blocks)):
        backbone.freeze(blocks)
        y = backbone.lower(x)
        assert torch.equal(y, outputs[blocks - 1] if blocks else x)
        assert torch.equal(backbone.upper(y), whole)
    backbone.freeze(0)


def test_a_frozen_head_leaves_nothing_to_learn() -> None:
    backbone = create_backbone("efficientnet_lite0")
    backbone.freeze(16)
    backbone.train()
    trained = {name for name, value in backbone.named_parameters() if value.requires_grad}
    assert trained == {"_conv_head.weight", "_bn1.weight", "_bn1.bias"}
    backbone.freeze(16, head=True)
    assert not any(value.requires_grad for value in backbone.parameters())
    assert not any(norm.training for norm in batch_norms([backbone]))


@pytest.mark.parametrize("blocks", [0, 3])
def test_frozen_statistics_stay_while_scale_and_shift_learn(blocks: int) -> None:
    backbone = create_backbone("resnet18")
    backbone.freeze(blocks, statistics=True)
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 64, 64)).sum().backward()
    norms = batch_norms([backbone])
    assert not any(norm.training for norm in norms)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    learning = batch_norms(list(backbone.blocks[blocks:]))
    assert all(norm.weight.grad is not None and norm.bias.grad is not None for norm in learning)
    backbone.freeze(blocks)
    assert all(norm.training for norm in learning)


def batch_norms(modules: list[nn.Module]) -> list[nn.BatchNorm2d]:
    inner = [module for outer in modules for module in outer.modules()]
    return [module for module in inner if isinstance(module, nn.BatchNorm2d)]


def test_freezing_can_be_undone_and_has_limits() -> None:
    backbone: Backbone = create_backbone("resnet18")
    backbone.freeze(8)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    backbone.freeze(0)
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert all(module.training for module in backbone.modules())
    for blocks in (-1, 9):
        with pytest.raises(PrmError, match=f"{blocks} blocks cannot be frozen: this backbone has 0 to 8"):
            backbone.freeze(blocks)
