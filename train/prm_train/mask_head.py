"""A mask head: one linear layer per tapped block that says what each place of a picture shows.

It is linear on purpose. Trained on pseudo-masks that the class maps themselves gave, richer heads learned
their mistakes too; and sums over superpixels commute with it, so that training on superpixels and running on
pixels are the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prm_train.backbones import Backbone
from prm_train.taps import tap_block, tap_name


class MaskHead(nn.Module):
    """Background and class logits of every place, summed over the tapped blocks.

    Attributes:
        projections: For each tap's name a 1×1 convolution from its block's channels to 1 + C.
        scales: For each tap's name, cells of the finest block per cell of its own.
    """

    def __init__(self, channels: Mapping[str, int], scales: Mapping[str, int], num_classes: int) -> None:
        super().__init__()
        self.scales = dict(scales)
        self.projections = nn.ModuleDict(
            {name: nn.Conv2d(count, 1 + num_classes, 1) for name, count in channels.items()}
        )

    def forward(self, outputs: Mapping[int, Tensor]) -> Tensor:
        """Map the tapped blocks' outputs, by block, to logits [N, 1 + C, h, w] at the finest's stride."""
        parts = [
            _enlarge(project(outputs[tap_block(name)]), self.scales[name])
            for name, project in self.projections.items()
        ]
        return reduce(torch.add, parts)

    @torch.no_grad()
    def set_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a linear layer on all blocks' channels, one block after the other.

        Args:
            weight: [1 + C, D], D the channels of all blocks.
            bias: [1 + C].
        """
        convolutions = list(self.projections.values())
        parts = weight.split([convolution.in_channels for convolution in convolutions], dim=1)
        for convolution, part in zip(convolutions, parts, strict=True):
            convolution.weight.copy_(part[..., None, None])
            convolution.bias.copy_(bias / len(convolutions))


def _enlarge(x: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return x
    return F.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False)


@torch.no_grad()
def create_mask_head(backbone: Backbone, num_classes: int) -> MaskHead:
    """A mask head, still to be trained, on the blocks that the backbone offers as taps."""
    parameter = next(backbone.parameters())
    smallest = torch.zeros(1, 3, backbone.stride, backbone.stride, device=parameter.device)
    training = backbone.training
    backbone.eval()  # batch norm has no statistics of a single cell
    _, outputs = backbone.forward_with_blocks(smallest.to(parameter.dtype), backbone.taps)
    backbone.train(training)
    finest = max(output.shape[-1] for output in outputs.values())
    channels = {tap_name(block): outputs[block].shape[1] for block in backbone.taps}
    scales = {tap_name(block): finest // outputs[block].shape[-1] for block in backbone.taps}
    return MaskHead(channels, scales, num_classes)
