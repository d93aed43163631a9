"""What gates are made of. P does not go there, so that none of it has a gradient."""

from __future__ import annotations

from torch import Tensor

from prm_export.oracle_layers.layer import Layer, Operator


def _fixed(function: Operator) -> Operator:
    return lambda layer: function(layer).detach()


def _flatten(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].flatten(layer.attributes.get("axis", 1))
    return result


def _hard_sigmoid(layer: Layer) -> Tensor:
    alpha, beta = layer.attributes.get("alpha", 0.2), layer.attributes.get("beta", 0.5)
    result: Tensor = (layer.inputs[0] * alpha + beta).clamp(0, 1)
    return result


def _mean(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].mean(_axes(layer), keepdim=bool(layer.attributes.get("keepdims", 1)))
    return result


def _max(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].amax(_axes(layer), keepdim=bool(layer.attributes.get("keepdims", 1)))
    return result


def _axes(layer: Layer) -> tuple[int, ...]:
    return tuple(layer.inputs[1].tolist()) if len(layer.inputs) > 1 else (2, 3)


def _gemm(layer: Layer) -> Tensor:
    a, b = layer.inputs[:2]
    a = a.T if layer.attributes.get("transA", 0) else a
    b = b.T if layer.attributes.get("transB", 0) else b
    product: Tensor = layer.attributes.get("alpha", 1.0) * (a @ b)
    if len(layer.inputs) > 2:
        product = product + layer.attributes.get("beta", 1.0) * layer.inputs[2]
    return product


def _reshape(layer: Layer) -> Tensor:
    x, shape = layer.inputs
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())]
    result: Tensor = x.reshape(sizes)
    return result


def _transpose(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].permute(tuple(layer.attributes["perm"]))
    return result


def _squeeze(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].squeeze(tuple(layer.inputs[1].tolist()))
    return result


def _unsqueeze(layer: Layer) -> Tensor:
    x: Tensor = layer.inputs[0]
    for axis in sorted(layer.inputs[1].tolist()):
        x = x.unsqueeze(axis)
    return x


def _sigmoid(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].sigmoid()
    return result


def _softmax(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].softmax(layer.attributes.get("axis", -1))
    return result


SQUASHED: dict[str, Operator] = {"HardSigmoid": _hard_sigmoid, "Sigmoid": _sigmoid}
"""What x may be multiplied by to become HardSwish or SiLU of x."""
GATES: dict[str, Operator] = {
    name: _fixed(function)
    for name, function in {
        "Flatten": _flatten,
        "Gemm": _gemm,
        "GlobalAveragePool": _mean,
        "GlobalMaxPool": _max,
        "HardSigmoid": _hard_sigmoid,
        "MatMul": _gemm,
        "ReduceMax": _max,
        "ReduceMean": _mean,
        "Reshape": _reshape,
        "Sigmoid": _sigmoid,
        "Softmax": _softmax,
        "Squeeze": _squeeze,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }.items()
}
