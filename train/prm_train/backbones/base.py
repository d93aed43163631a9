"""What every backbone offers: features of any picture size, its blocks in order, and a frozen lower part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import chain
from typing import ClassVar

from torch import Tensor, nn

from prm_runtime.console import PrmError

Rgb = tuple[float, float, float]

IMAGENET_MEAN: Rgb = (123.675, 116.28, 103.53)
IMAGENET_STD: Rgb = (58.395, 57.12, 57.375)


class Backbone(nn.Module, ABC):
    """A classification network without its global pooling and classifier.

    Parameter names are those of the public package a backbone's weights come from, so that their plain state
    dicts load.

    Attributes:
        out_channels: Channels of the features.
        stride: Input pixels per feature cell; input sides are multiples of it.
        frozen_blocks: How many of the lowest blocks ``freeze`` has frozen, and the stem with them.
        taps: Indices of the blocks whose outputs serve as proposal features.
        mean: Per-channel mean that inputs are shifted by, RGB on 0..255.
        std: Per-channel scale that inputs are divided by, RGB on 0..255.
        classifier: Prefix of the final linear layer in the public state dict.
        ignored: Prefixes of other parameters of the public state dict that have no place here.
    """

    stride: ClassVar[int] = 32
    mean: ClassVar[Rgb] = IMAGENET_MEAN
    std: ClassVar[Rgb] = IMAGENET_STD
    classifier: ClassVar[str] = "fc"
    ignored: ClassVar[tuple[str, ...]] = ()

    out_channels: int
    taps: tuple[int, ...]
    frozen_blocks: int = 0
    _frozen_head: bool = False
    _frozen_statistics: bool = False

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The blocks between stem and head, in order."""

    @property
    def stem_modules(self) -> Sequence[nn.Module]:
        """The modules below the first block."""
        return ()

    @property
    def head_modules(self) -> Sequence[nn.Module]:
        """The modules above the last block."""
        return ()

    def stem(self, x: Tensor) -> Tensor:
        """Everything before the first block."""
        return x

    def head(self, x: Tensor) -> Tensor:
        """Everything between the last block and the classifier."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Features of normalised pictures [N, 3, H, W]: [N, out_channels, H / stride, W / stride]."""
        return self.upper(self.lower(x))

    def lower(self, x: Tensor) -> Tensor:
        """What the frozen stem and blocks make of normalised pictures [N, 3, H, W]; with none frozen, x."""
        if not self.frozen_blocks:
            return x
        return reduce(_apply, self.blocks[: self.frozen_blocks], self.stem(x))

    def upper(self, y: Tensor) -> Tensor:
        """Features [N, out_channels, H / stride, W / stride] from what ``lower`` gave."""
        if not self.frozen_blocks:
            y = self.stem(y)
        return self.head(reduce(_apply, self.blocks[self.frozen_blocks :], y))

    def forward_with_blocks(self, x: Tensor, indices: Iterable[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """As ``forward``, with the outputs [N, C_i, h_i, w_i] of the blocks of the given indices."""
        wanted = set(indices)
        outputs: dict[int, Tensor] = {}
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in wanted:
                outputs[index] = x
        return self.head(x), outputs

    def freeze(self, blocks: int, *, head: bool = False, statistics: bool = False) -> None:
        """Freeze the stem and the first blocks: no gradients, batch norm in eval mode even while training.

        No gradient is needed by anything below the first trained block, so autograd records nothing there.

        Args:
            blocks: How many blocks; 0 trains everything, the stem too.
            head: Whether the head is frozen with them.
            statistics: Whether batch norm above them stays in eval mode too, while its scale and shift learn.

        Raises:
            PrmError: If there are fewer blocks.
        """
        if not 0 <= blocks <= len(self.blocks):
            raise PrmError(f"{blocks} blocks cannot be frozen: this backbone has 0 to {len(self.blocks)}")
        self.frozen_blocks = blocks
        self._frozen_head = head
        self._frozen_statistics = statistics
        self.requires_grad_(True)
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode; frozen modules stay in eval mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        if self._frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def _frozen_modules(self) -> Iterable[nn.Module]:
        frozen = chain(self.stem_modules, self.blocks[: self.frozen_blocks]) if self.frozen_blocks else ()
        return chain(frozen, self.head_modules if self._frozen_head else ())


def _apply(x: Tensor, block: nn.Module) -> Tensor:
    y: Tensor = block(x)
    return y
