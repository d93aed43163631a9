"""Operators that hand on some channels, or all in another order: each value keeps its P."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import attributes_of, constant_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule


def _slice_checks(_forward: ForwardGraph, node: ir.Node) -> None:
    axes = constant_of(node, 3).tolist() if len(node.inputs) > 3 else [0]
    steps = constant_of(node, 4).tolist() if len(node.inputs) > 4 else [1]
    if axes not in ([1], [-3]) or steps != [1]:
        raise ExportError(f"{node_name(node)}: only a slice of channels (axis 1, step 1) has a rule")


def _put_back(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    channels = reverse.path.shape(input_of(node))[1]
    start, end, _ = slice(int(constant_of(node, 1)[0]), int(constant_of(node, 2)[0])).indices(channels)
    axis = reverse.int64(1)
    padded = reverse.op("Pad", G.value, reverse.int64(start, channels - end), None, axis)
    return [Carried(padded, G.pointwise)] + [None] * (len(node.inputs) - 1)


def _order(node: ir.Node) -> NDArray[np.int64]:
    return constant_of(node, 1)


def _gather_checks(forward: ForwardGraph, node: ir.Node) -> None:
    channels = forward.path.shape(input_of(node))[1]
    order = _order(node)
    permutes = order.ndim == 1 and np.array_equal(np.sort(order % channels), np.arange(channels))
    if attributes_of(node).get("axis", 0) not in (1, -3) or not permutes:
        raise ExportError(f"{node_name(node)}: only a permutation of the channels has a rule")


def _order_back(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    order = _order(node)
    back = np.argsort(order % len(order))
    return [Carried(reverse.op("Gather", G.value, reverse.int64(*back.tolist()), axis=1), G.pointwise), None]


SLICE = Rule(_slice_checks, _put_back)
GATHER = Rule(_gather_checks, _order_back)
