"""Activations: P is the same on either side, whatever they do to the activation itself.

An activation makes each value of one value, so Eq. 5 leaves the walker no choice: P(U|V) = 1 wherever U has
evidence. The layers above take Û from behind the activation. All operators of ``ACTIVATIONS`` are positive
where their input is and nowhere else; what LeakyRelu, HardSwish or SiLU let through of negative values is no
evidence, neither above nor below.
"""

from __future__ import annotations

import onnx_ir as ir

from prm_export.emit import input_of
from prm_export.rules.base import ForwardGraph, Rule, fused_activation, hand_on, no_gain


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    if fused_activation(input_of(node)) is node.outputs[0]:
        return None  # the layer below takes the activated value as its own V⁺
    return forward.ratio(forward.positive(node.outputs[0]), forward.positive(input_of(node)))


# P = G · relu(x) on both sides of what keeps positive values, so G is the same too
KEEPING = Rule(no_gain, hand_on)
SQUASHING = Rule(_gain, hand_on)
