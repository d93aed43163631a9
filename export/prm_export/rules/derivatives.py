"""Derivatives of activations, for rules that hand down gradients."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from prm_export.emit import attributes_of, input_of
from prm_export.rules.base import ForwardGraph

Derivative = Callable[[ForwardGraph, ir.Node], ir.Value]
"""Emits dy/dx of a node y = f(x), in the shape of y."""


def _where(
    forward: ForwardGraph, condition: ir.Value, yes: ir.Value | float, no: ir.Value | float
) -> ir.Value:
    values = (x if isinstance(x, ir.Value) else forward.constant(x) for x in (yes, no))
    return forward.op("Where", condition, *values)


def _is_positive(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    return forward.op("Greater", input_of(node), forward.constant(0.0))


def _relu(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    return forward.op("Cast", _is_positive(forward, node), to=ir.DataType.FLOAT)


def _leaky_relu(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    return _where(forward, _is_positive(forward, node), 1.0, attributes_of(node).get("alpha", 0.01))


def _prelu(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    return _where(forward, _is_positive(forward, node), 1.0, input_of(node, 1))


def _elu(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    alpha = forward.constant(attributes_of(node).get("alpha", 1.0))
    below = forward.op("Add", node.outputs[0], alpha)
    return _where(forward, _is_positive(forward, node), 1.0, below)


def _clip(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    inside = forward.op("Equal", input_of(node), node.outputs[0])
    return forward.op("Cast", inside, to=ir.DataType.FLOAT)


def _hard_swish(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    x, three = input_of(node), forward.constant(3.0)
    rising = forward.op("Add", forward.op("Div", x, three), forward.constant(0.5))
    moving = forward.op("Less", forward.op("Abs", x), three)
    return _where(
        forward, moving, rising, forward.op("Cast", _is_positive(forward, node), to=ir.DataType.FLOAT)
    )


def _tanh(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    y = node.outputs[0]
    return forward.op("Sub", forward.constant(1.0), forward.op("Mul", y, y))


def _sigmoid(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    y = node.outputs[0]
    return forward.op("Mul", y, forward.op("Sub", forward.constant(1.0), y))


def _hard_sigmoid(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    y = node.outputs[0]
    above, below = (
        forward.op("Greater", y, forward.constant(0.0)),
        forward.op("Less", y, forward.constant(1.0)),
    )
    return _where(forward, forward.op("And", above, below), attributes_of(node).get("alpha", 0.2), 0.0)


DERIVATIVES: dict[str, Derivative] = {
    "Clip": _clip,
    "Elu": _elu,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Relu": _relu,
    "Tanh": _tanh,
}
SLOPES: dict[str, Derivative] = {"HardSigmoid": _hard_sigmoid, "Sigmoid": _sigmoid}
"""Of what x is multiplied by in x · sigmoid(x) and its like."""
