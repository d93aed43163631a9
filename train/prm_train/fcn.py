"""A classifier made fully convolutional (Section 3.1), with the feature taps that proposals live on."""

from __future__ import annotations

from torch import Tensor, nn

from prm_runtime.manifest import MASK_LOGITS
from prm_train.backbones import Backbone
from prm_train.mask_head import MaskHead
from prm_train.taps import tap_block


class FullyConvolutional(nn.Module):
    """Backbone without global pooling, and a 1×1 convolution as its classifier.

    Attributes:
        backbone: The feature extractor.
        classifier: 1×1 convolution from the backbone's channels to the classes.
        taps: Fixed 1×1 projections of single blocks' outputs, by name (``block4`` taps block 4). Empty until
            ``prm_train.pca.fit_taps`` has fitted them.
        mask_head: What says where background and classes are; None for a classifier alone.
    """

    mask_head: MaskHead | None

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Conv2d(backbone.out_channels, num_classes, 1)
        self.taps = nn.ModuleDict()
        self.mask_head = None

    def forward(self, x: Tensor) -> Tensor:
        """Class response maps M of normalised pictures.

        Args:
            x: Pictures, float [N, 3, H, W], RGB, normalised; H and W multiples of the backbone's stride.

        Returns:
            M, float [N, C, H / stride, W / stride]: raw scores, before any sigmoid.
        """
        M: Tensor = self.classifier(self.backbone(x))
        return M

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``forward``, with the projected outputs of the tapped blocks and the mask head's logits.

        Returns:
            M, and by name: each tap's features, float [N, D, h', w'] at that block's stride; with a mask head
            ``mask_logits``, float [N, 1 + C, h', w'] at the finest tapped block's stride.
        """
        read = (*self.taps, *(() if self.mask_head is None else self.mask_head.projections))
        features, outputs = self.backbone.forward_with_blocks(x, map(tap_block, read))
        maps = {name: project(outputs[tap_block(name)]) for name, project in self.taps.items()}
        if self.mask_head is not None:
            maps[MASK_LOGITS] = self.mask_head(outputs)
        return self.classifier(features), maps

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of what ``forward_with_features`` returns beside M, in order."""
        return (*self.taps, *(() if self.mask_head is None else (MASK_LOGITS,)))


class MapsAndFeatures(nn.Module):
    """What a training step runs: class response maps M and the features U that the classifier reads.

    Args:
        network: The network; its parameters become this module's.
        lowered: Whether inputs are what the backbone's ``lower`` gave, and not pictures.
    """

    def __init__(self, network: FullyConvolutional, *, lowered: bool) -> None:
        super().__init__()
        self.network = network
        self.lowered = lowered

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Map pictures or lowered features to M [N, C, h, w] and U [N, K, h, w]."""
        backbone = self.network.backbone
        U = backbone.upper(inputs if self.lowered else backbone.lower(inputs))
        return self.network.classifier(U), U
