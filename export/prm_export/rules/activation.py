"""Activations: P is the same on either side."""

from __future__ import annotations

import onnx_ir as ir

from prm_export.emit import input_of
from prm_export.rules.base import ForwardGraph, Rule, fused_activation, hand_on, no_gain


def _clip_gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    if fused_activation(input_of(node)) is node:
        return None  # the layer below takes the clipped value as its own V⁺
    return forward.ratio(forward.positive(node.outputs[0]), forward.positive(input_of(node)))


# P = G · relu(x) on both sides of a ReLU, so G is the same too
RELU = Rule(no_gain, hand_on)
CLIP = Rule(_clip_gain, hand_on)
