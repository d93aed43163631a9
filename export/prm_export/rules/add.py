"""Addition of two branches: each gets its share of the positive sum."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from prm_export.emit import input_of, node_name
from prm_export.errors import ExportError
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    a, b = input_of(node, 0), input_of(node, 1)
    path = forward.path
    if not (path.shapes.get(a.name or "") == path.shapes.get(b.name or "") == path.shape(node.outputs[0])):
        raise ExportError(f"{node_name(node)}: only the sum of two branches of the same shape has a rule")
    total = forward.op("Add", forward.positive(a), forward.positive(b))
    return forward.ratio(forward.activated(node.outputs[0]), total)


def _propagate(_reverse: ReverseGraph, _node: ir.Node, G: Carried) -> Sequence[Carried]:
    return [G, G]


RULE = Rule(_gain, _propagate)
