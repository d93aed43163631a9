"""Peak back-propagation as the code published with the paper does it, on torch modules.

A port of its formula: while peaks are back-propagated, every ``nn.Conv2d`` has another backward pass, and all
other layers keep autograd's. See ``install/functions/peak_backprop.py`` of github.com/ZhouYanzhao/PRM.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

EPSILON = 1e-10


class _MultipliedByEvidence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, U: Tensor, offset: Tensor) -> Tensor:
        ctx.save_for_backward(U, offset)
        return U.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        U, offset = ctx.saved_tensors
        return (U - offset) * gradients[0], None


class _DividedByNormaliser(torch.autograd.Function):
    """Hands the gradient to the normaliser instead of the response."""

    @staticmethod
    def forward(ctx: Any, V: Tensor, normaliser: Tensor) -> Tensor:
        ctx.save_for_backward(normaliser)
        return V.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, Tensor]:
        (normaliser,) = ctx.saved_tensors
        divided = gradients[0] / (normaliser.abs() + EPSILON)
        return None, torch.where(normaliser < EPSILON, torch.zeros_like(divided), divided)


def _patched(self: nn.Conv2d, U: Tensor) -> Tensor:
    offset = U.min().detach()
    U = _MultipliedByEvidence.apply(U, offset)
    V = self._conv_forward(U, self.weight, self.bias).detach()
    normaliser = self._conv_forward(U - offset, self.weight.relu().detach(), None)
    return _DividedByNormaliser.apply(V, normaliser)


def patch(model: nn.Module) -> None:
    """Give every convolution of a network the published code's backward pass."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.forward = MethodType(_patched, module)  # type: ignore[method-assign]


def response_maps(
    model: nn.Module, image: NDArray[np.float32], peaks: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Peak Response Maps at the pixels, float64 [P, H, W], each of sum 1 (or empty).

    Args:
        model: Fully convolutional network in eval mode, image -> M; changed to double precision and patched.
        image: float32 [1, 3, H, W].
        peaks: Class, row and column of each.
    """
    patch(model.double())
    x = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    M = model(x)
    maps = []
    for c, row, column in peaks:
        seed = torch.zeros_like(M)
        seed[0, c, row, column] = 1
        (gradient,) = torch.autograd.grad(M, x, seed, retain_graph=True)
        prm = gradient[0].sum(0).clamp(min=0)
        maps.append((prm / prm.sum() if prm.any() else prm).numpy())
    return np.stack(maps)
