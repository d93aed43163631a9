"""Soft proposals (Zhu et al., "Soft Proposal Networks", ICCV 2017): which cells stand out from the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from prm_runtime.console import PrmError

FAINTEST = 1e-7
"""Added to each cell's degree, so that a map without any difference proposes all of its cells alike."""


def soft_proposal(U: Tensor, epsilon: float = 0.15) -> Tensor:
    """Where a random walker on the cells of a feature map spends its time.

    It steps from cell i to j with a probability ∝ A_ij = ‖u_i − u_j‖ · exp(−d_ij² / 2(εN)²), d_ij being the
    distance between the cells and N the map's side. The published algorithm iterates the walk. A is
    symmetric, so the distribution that this converges to is known: the degree Σ_j A_ij over the sum of all
    degrees.

    Args:
        U: Features, float [N, K, h, w].
        epsilon: ε; N is √(hw) where maps are not square. The paper's 0.15 is for N as the side; its published
            code takes the number of cells, with which distance hardly counts.

    Returns:
        float [N, h, w], each of sum 1. As in the published algorithm no gradient flows through it.
    """
    h, w = U.shape[-2:]
    features = U.detach().flatten(-2).mT
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cells = torch.stack([rows.flatten(), columns.flatten()], -1).to(U)
    near = torch.exp(-torch.cdist(cells, cells).square() / (2 * epsilon**2 * h * w))
    degree = (torch.cdist(features, features) * near).sum(-1) + FAINTEST
    return (degree / degree.sum(-1, keepdim=True)).reshape(-1, h, w)


class SoftProposal(nn.Module):
    """Mean of each map, weighted with the soft proposal of the features that the maps are made from.

    The published network multiplies the features with the proposal, sums them over the map and classifies the
    sum. As a proposal sums to 1, classifying first and summing then gives the same scores.

    Args:
        epsilon: How far the walker steps, as a share of the map's side.
    """

    def __init__(self, epsilon: float = 0.15) -> None:
        super().__init__()
        if not 0 < epsilon < math.inf:
            raise PrmError(f"soft proposals need a positive, finite epsilon, found {epsilon}")
        self.epsilon = epsilon

    def forward(self, M: Tensor, U: Tensor) -> Tensor:
        """Map M [N, C, h, w] and the features U [N, K, h, w] under its classifier to scores s [N, C]."""
        return (M * soft_proposal(U, self.epsilon)[:, None]).sum((-2, -1))
