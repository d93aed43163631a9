"""Products with a gate: squeeze and excitation, and ``x · sigmoid(x)``.

At run time a gate is a number like a weight: y = x · g is a depthwise 1×1 convolution with W = g ≥ 0. Each y
has one x below it, so Eq. 5 makes P(x) = P(y), and G_x = P / x⁺ = G_y · y⁺ / x⁺ = G_y · g: the gain is the
gate itself. The walker does not enter the gate: it decides how much of x counts, and is no evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from prm_export.emit import node_name
from prm_export.errors import ExportError
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule, fused_activation
from prm_export.walks import carrying_inputs, gate_of


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    gate = gate_of(node)
    if gate is None:
        raise ExportError(
            f"{node_name(node)}: only the product with a constant or with the output of a sigmoid has a rule"
        )
    (x,) = carrying_inputs(node)
    shape = forward.path.shape
    if shape(x) != shape(node.outputs[0]) or len(shape(gate)) != 4:
        raise ExportError(f"{node_name(node)}: only a gate that is no larger than the maps has a rule")
    if fused_activation(x) is node.outputs[0]:
        return None
    return forward.op("Identity", gate)


def _propagate(_reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    gate = gate_of(node)
    return [None if value is gate else G for value in node.inputs]


RULE = Rule(_gain, _propagate)
