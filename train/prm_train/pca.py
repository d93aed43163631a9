"""Principal components of block outputs: the fixed projections behind the feature taps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from prm_train.fcn import FullyConvolutional
from prm_train.taps import tap_name


@torch.no_grad()
def fit_taps(model: FullyConvolutional, batches: Iterable[Tensor], dimensions: int = 16) -> None:
    """Fit one projection per tapped block of the backbone and attach it to ``model.taps``, in place.

    Each is a PCA to ``dimensions`` channels, divided by the root of the total variance of the block's output,
    so that distances are comparable between blocks.

    Args:
        model: The trained model; it is left in eval mode.
        batches: Normalised pictures, float [N, 3, H, W] each; no labels are needed.
        dimensions: Channels to keep; a block with fewer keeps all of its own.
    """
    model.eval()
    moments = {block: _Moments() for block in model.backbone.taps}
    for batch in batches:
        _, outputs = model.backbone.forward_with_blocks(batch, moments)
        for block, output in outputs.items():
            moments[block].add(output)
    for block, moment in moments.items():
        model.taps[tap_name(block)] = projection(*moment.mean_and_covariance(), dimensions)


class _Moments:
    """Running first and second moments of channel vectors, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: Tensor | float = 0.0
        self.outer: Tensor | float = 0.0

    def add(self, output: Tensor) -> None:
        vectors = output.movedim(1, -1).flatten(0, -2).double()
        self.count += len(vectors)
        self.sum = self.sum + vectors.sum(0)
        self.outer = self.outer + vectors.T @ vectors

    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        mean = torch.as_tensor(self.sum) / self.count
        return mean, torch.as_tensor(self.outer) / self.count - torch.outer(mean, mean)


def projection(mean: Tensor, covariance: Tensor, dimensions: int) -> nn.Conv2d:
    """The frozen 1×1 convolution x → Wᵀ(x − mean) / √(total variance), W the leading eigenvectors.

    Args:
        mean: [C].
        covariance: [C, C].
        dimensions: Number D of eigenvectors to keep; all C of them if that is more.

    Returns:
        Convolution with weight [D, C, 1, 1], bias −W mean.
    """
    _, eigenvectors = torch.linalg.eigh(covariance)
    W = eigenvectors[:, -dimensions:].flip(1).T / covariance.trace().sqrt()
    # an eigenvector's sign is arbitrary: make its largest entry positive
    leading = W.gather(1, W.abs().argmax(1, keepdim=True))
    W = W * leading.sign()
    convolution = nn.Conv2d(len(mean), len(W), 1)
    convolution.load_state_dict({"weight": W[..., None, None], "bias": -(W @ mean)})
    return convolution.to(mean.device).requires_grad_(False)
