"""Activations, as plain functions of their first input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from prm_export.oracle_layers.layer import Layer, Operator


def _by(function: Callable[..., Tensor], **options: str) -> Operator:
    """An activation by its torch function; ``options`` are the function's names of ONNX attributes."""

    def run(layer: Layer) -> Tensor:
        given = {ours: layer.attributes[name] for name, ours in options.items() if name in layer.attributes}
        return function(layer.inputs[0], **given)

    return run


def _clip(layer: Layer) -> Tensor:
    x, low, high = (*layer.inputs, None, None)[:3]
    result: Tensor = x.clamp(low, high)
    return result


def _gelu(layer: Layer) -> Tensor:
    return F.gelu(layer.inputs[0], approximate=layer.attributes.get("approximate", b"none").decode())


def _leaky_relu(layer: Layer) -> Tensor:
    return F.leaky_relu(layer.inputs[0], layer.attributes.get("alpha", 0.01))


def _local_response_norm(layer: Layer) -> Tensor:
    names = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, k = (layer.attributes.get(name, default) for name, default in names.items())
    return F.local_response_norm(layer.inputs[0], layer.attributes["size"], alpha, beta, k)


def _prelu(layer: Layer) -> Tensor:
    x, slope = layer.inputs
    return torch.where(x > 0, x, slope * x)


ACTIVATIONS: dict[str, Operator] = {
    "Celu": _by(F.celu, alpha="alpha"),
    "Clip": _clip,
    "Elu": _by(F.elu, alpha="alpha"),
    "Gelu": _gelu,
    "HardSwish": _by(F.hardswish),
    "LRN": _local_response_norm,
    "LeakyRelu": _leaky_relu,
    "Mish": _by(F.mish),
    "PRelu": _prelu,
    "Relu": _by(torch.relu),
    "Selu": _by(F.selu),
    "Softsign": _by(F.softsign),
    "Tanh": _by(torch.tanh),
}
