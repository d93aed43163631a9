"""Eq. 4 and 5: the backward pass of each layer hands down visiting probabilities P."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prm_export.oracle_layers.activations import ACTIVATIONS
from prm_export.oracle_layers.gates import GATES
from prm_export.oracle_layers.layer import Layer, Operator
from prm_export.oracle_layers.routing import ROUTING
from prm_export.oracle_layers.windows import (
    average_pool,
    convolve,
    convolve_transposed,
    max_pool,
    pool_sum,
    resize,
)
from prm_export.rules.base import EPSILON

Affine = Callable[[Tensor], Tensor]


class _Proportional(torch.autograd.Function):
    """An affine layer: P(U) = Û · Σ W⁺ P(V) / (Σ Û W⁺ + ε)  (Eq. 4 and 5, Z being 1 / (Σ Û W⁺ + ε))."""

    @staticmethod
    def forward(ctx: Any, _U: Tensor, evidence: Tensor, V: Tensor, positive: Affine) -> Tensor:
        ctx.save_for_backward(evidence)
        ctx.positive = positive
        return V.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None]:
        (P_V,) = grad_outputs
        (evidence,) = ctx.saved_tensors
        with torch.enable_grad():
            U_hat = evidence.detach().requires_grad_()
            normaliser = ctx.positive(U_hat)
            (spread,) = torch.autograd.grad(normaliser, U_hat, P_V / (normaliser + EPSILON))
        return U_hat.detach() * spread, None, None, None


class _Activation(torch.autograd.Function):
    """An activation: P is the same on either side."""

    @staticmethod
    def forward(_ctx: Any, _x: Tensor, activated: Tensor) -> Tensor:
        return activated.clone()

    @staticmethod
    def backward(_ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        return grad_outputs[0], None


class _Sum(torch.autograd.Function):
    """A sum: each branch gets its share of the evidence."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, a_hat: Tensor, b_hat: Tensor) -> Tensor:
        ctx.save_for_backward(a_hat, b_hat)
        return a + b

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, Tensor, None, None]:
        a_hat, b_hat = ctx.saved_tensors
        share = grad_outputs[0] / (a_hat + b_hat + EPSILON)
        return a_hat * share, b_hat * share, None, None


_proportional: Callable[..., Tensor] = _Proportional.apply
_activation: Callable[..., Tensor] = _Activation.apply
_sum: Callable[..., Tensor] = _Sum.apply


def _weighted(function: Callable[..., Tensor]) -> Operator:
    """A layer with weights and maybe a bias."""

    def run(layer: Layer) -> Tensor:
        U, W, bias = (*layer.inputs, None)[:3]
        U_hat, W_plus = layer.evidence[:2]
        return _proportional(U, U_hat, function(layer, U, W, bias), lambda x: function(layer, x, W_plus))

    return run


def _unweighted(function: Callable[..., Tensor], positive: Callable[..., Tensor]) -> Operator:
    """A layer that computes one thing and hands P down as if it were another."""

    def run(layer: Layer) -> Tensor:
        U = layer.inputs[0]
        return _proportional(U, layer.evidence[0], function(layer, U), lambda x: positive(layer, x))

    return run


def _activated(function: Operator) -> Operator:
    return lambda layer: _activation(layer.inputs[0], function(layer).detach())


def _add(layer: Layer) -> Tensor:
    return _sum(*layer.inputs, *layer.evidence)


def _scale(layer: Layer) -> Tensor:
    """A value times its gate, which carries no gradient."""
    product: Tensor = layer.inputs[0] * layer.inputs[1]
    carrying = [value for value in layer.inputs if value.requires_grad]
    return _activation(carrying[0], product.detach()) if carrying else product


PAPER: dict[str, Operator] = {
    **ROUTING,
    **GATES,
    **{name: _activated(function) for name, function in ACTIVATIONS.items()},
    "Add": _add,
    "AveragePool": _unweighted(average_pool, pool_sum),
    "Conv": _weighted(convolve),
    "ConvTranspose": _weighted(convolve_transposed),
    "MaxPool": _unweighted(max_pool, pool_sum),
    "Mul": _scale,
    "Resize": _unweighted(resize, resize),
}
