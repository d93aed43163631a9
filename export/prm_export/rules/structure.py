"""Operators that only move values: identity, dropout, concatenation, zero padding."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from prm_export.emit import array_of, attributes_of, constant_of, node_name
from prm_export.errors import ExportError
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule, hand_on, no_gain


def _concat_checks(_forward: ForwardGraph, node: ir.Node) -> None:
    if attributes_of(node)["axis"] not in (1, -3):
        raise ExportError(f"{node_name(node)}: only the concatenation of channels (axis 1) has a rule")


def _split(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    channels = [reverse.path.shape(value)[1] for value in node.inputs if value is not None]
    parts = reverse.ops("Split", len(channels), G.value, reverse.int64(*channels), axis=1)
    return [Carried(part, G.pointwise) for part in parts]


def _pads(node: ir.Node) -> list[int]:
    axes = (
        constant_of(node, 3).tolist() if len(node.inputs) > 3 and node.inputs[3] is not None else [0, 1, 2, 3]
    )
    begins_and_ends = constant_of(node, 1).tolist()
    pads = [0] * 8
    for position, axis in enumerate(axes):
        pads[axis % 4] = begins_and_ends[position]
        pads[4 + axis % 4] = begins_and_ends[len(axes) + position]
    return pads


def _pad_checks(_forward: ForwardGraph, node: ir.Node) -> None:
    pads = _pads(node)
    fill = array_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    mode = attributes_of(node).get("mode", "constant")
    if (
        mode != "constant"
        or (fill is not None and fill != 0)
        or any(pads[i] for i in (0, 1, 4, 5))
        or min(pads) < 0
    ):
        raise ExportError(f"{node_name(node)}: only padding of rows and columns with zeros has a rule")


def _crop(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    _, _, top, left, _, _, bottom, right = _pads(node)
    far = 1 << 31
    ends = reverse.int64(-bottom or far, -right or far)
    cropped = reverse.op("Slice", reverse.spread(G), reverse.int64(top, left), ends, reverse.int64(2, 3))
    return [Carried(cropped, pointwise=False)] + [None] * (len(node.inputs) - 1)


IDENTITY = Rule(no_gain, hand_on)
CONCAT = Rule(_concat_checks, _split)
PAD = Rule(_pad_checks, _crop)
