"""ResNet-18/34/50 with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from prm_train.backbones.base import Backbone


def _conv_and_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a skip connection (ResNet-18 and 34)."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_and_norm(in_channels, channels, 3, stride)
        self.conv2, self.bn2 = _conv_and_norm(channels, channels, 3)
        self.downsample = _downsample(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, channels, H / stride, W / stride]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions and a skip connection (ResNet-50; the stride sits in the 3×3)."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1, self.bn1 = _conv_and_norm(in_channels, channels, 1)
        self.conv2, self.bn2 = _conv_and_norm(channels, channels, 3, stride)
        self.conv3, self.bn3 = _conv_and_norm(channels, out_channels, 1)
        self.downsample = _downsample(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, 4 * channels, H / stride, W / stride]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _downsample(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return _conv_and_norm(in_channels, out_channels, 1, stride)


class ResNet(Backbone):
    """ResNet with the given block and number of blocks in each of its four stages."""

    def __init__(self, block: type[BasicBlock | Bottleneck], repeats: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        stages: list[nn.Sequential] = []
        for stage, count in enumerate(repeats):
            width = 64 * 2**stage
            blocks = []
            for index in range(count):
                blocks.append(block(channels, width, 2 if stage > 0 and index == 0 else 1))
                channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.out_channels = channels
        self.taps = tuple(sum(repeats[: stage + 1]) - 1 for stage in (1, 2, 3))  # strides 8, 16 and 32

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The residual blocks of all four stages."""
        return [*self.layer1, *self.layer2, *self.layer3, *self.layer4]

    @property
    def stem_modules(self) -> Sequence[nn.Module]:
        """The first convolution and its batch norm."""
        return (self.conv1, self.bn1)

    def stem(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 64, H / 4, W / 4]."""
        return F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
