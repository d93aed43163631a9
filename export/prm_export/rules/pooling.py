"""Max and average pools, propagated as convolutions whose weights are all 1 (end of Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx_ir as ir

from prm_export.emit import input_of
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule
from prm_export.rules.window import window_of


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    window = window_of(node, forward.path)
    U = forward.positive(input_of(node))
    mean = forward.op("AveragePool", U, count_include_pad=1, **window.attributes)
    total = forward.op("Mul", mean, forward.constant(prod(window.kernel)))
    return forward.ratio(forward.activated(node.outputs[0]), total)


def _propagate(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    window = window_of(node, reverse.path)
    channels = reverse.path.shape(node.outputs[0])[1]
    ones = reverse.weight(np.ones((channels, 1, *window.kernel), np.float32))
    G_U = reverse.op("ConvTranspose", reverse.spread(G), ones, group=channels, **window.transposed)
    return [Carried(G_U, pointwise=False)]


RULE = Rule(_gain, _propagate)
