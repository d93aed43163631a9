"""ResNets and VGG16 written out over plain state dicts with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

State = Mapping[str, Tensor]


def batch_norm(state: State, name: str, x: Tensor) -> Tensor:
    """Batch norm of eval mode."""
    mean, variance, weight, bias = (
        state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def resnet_features(state: State, repeats: tuple[int, ...], x: Tensor) -> Tensor:
    """Features of a ResNet [N, C, H/32, W/32]; its blocks have as many convolutions as the state has."""
    x = F.relu(batch_norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, count in enumerate(repeats, start=1):
        for index in range(count):
            x = residual_block(state, f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1, x)
    return x


def residual_block(state: State, name: str, stride: int, x: Tensor) -> Tensor:
    convolutions = [n for n in (1, 2, 3) if f"{name}.conv{n}.weight" in state]
    strided = 2 if len(convolutions) == 3 else 1  # the second of a bottleneck, the first of a basic block
    y = x
    for n in convolutions:
        weight = state[f"{name}.conv{n}.weight"]
        y = F.conv2d(y, weight, stride=stride if n == strided else 1, padding=weight.shape[-1] // 2)
        y = batch_norm(state, f"{name}.bn{n}", y)
        if n != convolutions[-1]:
            y = F.relu(y)
    if f"{name}.downsample.0.weight" in state:
        x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
        x = batch_norm(state, f"{name}.downsample.1", x)
    return F.relu(x + y)


def vgg16_features(state: State, x: Tensor) -> Tensor:
    """Features of VGG16 after its last pooling."""
    stages = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
    for stage in stages:
        for layer in stage:
            weight, bias = state[f"features.{layer}.weight"], state[f"features.{layer}.bias"]
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
        x = F.max_pool2d(x, 2)
    return x
