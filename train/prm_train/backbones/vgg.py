"""VGG16 with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from prm_train.backbones.base import Backbone

CONVS_PER_STAGE = (2, 2, 3, 3, 3)
CHANNELS = (64, 128, 256, 512, 512)


class Vgg16(Backbone):
    """The convolutional part of VGG16; a block is a convolution, its ReLU and the pooling that follows it.

    Only ``features`` is kept and the 1×1 class convolution sits directly on it, as is usual for class
    response maps: the fully connected layers hold 89 % of the weights, are tied to 7×7 cells and are left
    behind, as is the ImageNet classifier on top of them.
    """

    classifier: ClassVar[str] = "classifier.6"
    ignored: ClassVar[tuple[str, ...]] = ("classifier.",)
    out_channels = CHANNELS[-1]
    taps = (6, 9, 12)  # after the third, fourth and fifth pooling: strides 8, 16 and 32

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._block_ends: list[int] = []
        in_channels = 3
        for convs, channels in zip(CONVS_PER_STAGE, CHANNELS, strict=True):
            for index in range(convs):
                layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()]
                if index == convs - 1:
                    layers.append(nn.MaxPool2d(2))
                self._block_ends.append(len(layers))
                in_channels = channels
        self.features = nn.Sequential(*layers)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The thirteen convolutions, each with its ReLU and pooling."""
        starts = [0, *self._block_ends[:-1]]
        return [self.features[a:b] for a, b in zip(starts, self._block_ends, strict=True)]
