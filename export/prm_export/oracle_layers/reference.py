"""The rules of the code that was published with the paper: convolutions hand down P, the rest gradients.

``peak_backprop.py`` there replaces the forward pass of each ``nn.Conv2d`` and leaves everything else to
autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prm_export.oracle_layers.activations import ACTIVATIONS
from prm_export.oracle_layers.gates import GATES, SQUASHED
from prm_export.oracle_layers.layer import Layer, Operator
from prm_export.oracle_layers.routing import ROUTING
from prm_export.oracle_layers.windows import (
    average_pool,
    convolve,
    convolve_transposed,
    max_pool,
    resize,
)
from prm_export.rules.reference import SMALLEST_NORMALISER


class _Replaced(torch.autograd.Function):
    """A convolution: P(U) = (U - min U) · Σ W⁺ P(V) / Σ (U - min U) W⁺."""

    @staticmethod
    def forward(ctx: Any, U: Tensor, V: Tensor, positive: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(U)
        ctx.positive = positive
        return V.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        (P_V,) = grad_outputs
        (U,) = ctx.saved_tensors
        with torch.enable_grad():
            evidence = (U - U.min()).detach().requires_grad_()
            normaliser = ctx.positive(evidence)
            share = P_V / (normaliser + SMALLEST_NORMALISER)
            share = share.masked_fill(normaliser < SMALLEST_NORMALISER, 0)
            (spread,) = torch.autograd.grad(normaliser, evidence, share)
        return evidence.detach() * spread, None, None


_replaced: Callable[..., Tensor] = _Replaced.apply


def _conv(layer: Layer) -> Tensor:
    U, W, bias = (*layer.inputs, None)[:3]
    V = convolve(layer, U, W, bias).detach()
    return _replaced(U, V, lambda x: convolve(layer, x, W.relu()))


def _conv_transpose(layer: Layer) -> Tensor:
    U, W, bias = (*layer.inputs, None)[:3]
    return convolve_transposed(layer, U, W, bias)


def _batch_norm(layer: Layer) -> Tensor:
    x, *parameters = layer.inputs
    scale, offset, mean, variance = (number.view(1, -1, 1, 1) for number in parameters)
    deviation = (variance + layer.attributes.get("epsilon", 1e-5)).sqrt()
    result: Tensor = (x - mean) / deviation * scale + offset
    return result


def _on_maps(function: Callable[..., Tensor]) -> Operator:
    return lambda layer: function(layer, layer.inputs[0])


def _add(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0] + layer.inputs[1]
    return result


def _scale(layer: Layer) -> Tensor:
    """A value times its gate, which carries no gradient; but HardSwish and SiLU are functions of x alone."""
    a, b = layer.inputs
    for x, gate in ((a, layer.sources[1]), (b, layer.sources[0])):
        if gate is not None and gate.operator in SQUASHED and gate.inputs[0] is x:
            b = SQUASHED[gate.operator](gate)
            a = x
    product: Tensor = a * b
    return product


REFERENCE: dict[str, Operator] = {
    **ROUTING,
    **GATES,
    **ACTIVATIONS,
    "Add": _add,
    "AveragePool": _on_maps(average_pool),
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _on_maps(max_pool),
    "Mul": _scale,
    "Resize": _on_maps(resize),
}
