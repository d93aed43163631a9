"""Backbones by name."""

from __future__ import annotations

from collections.abc import Callable

from prm_runtime.console import PrmError
from prm_train.backbones.base import Backbone
from prm_train.backbones.efficientnet_lite import EfficientNetLite
from prm_train.backbones.resnet import BasicBlock, Bottleneck, ResNet
from prm_train.backbones.vgg import Vgg16

__all__ = ["BACKBONES", "Backbone", "create_backbone"]

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "efficientnet_lite0": lambda: EfficientNetLite(0),
    "efficientnet_lite1": lambda: EfficientNetLite(1),
    "efficientnet_lite2": lambda: EfficientNetLite(2),
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "resnet34": lambda: ResNet(BasicBlock, (3, 4, 6, 3)),
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "vgg16": Vgg16,
}


def create_backbone(name: str) -> Backbone:
    """Create a backbone with random weights.

    Raises:
        PrmError: If there is no backbone of that name.

    Example:
        >>> create_backbone("resnet18").out_channels
        512
    """
    if name not in BACKBONES:
        raise PrmError(f"unknown backbone '{name}': choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name]()
