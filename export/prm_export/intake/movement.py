"""Operators that only move values about, followed by moving an array of indices with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import attributes_of, constant_of

Indices = NDArray[np.int64]


def moved(node: ir.Node, array: Indices) -> Indices:
    """What a node of ``MOVEMENTS`` makes of an array.

    Raises:
        ExportError: If its shape or axes are computed in the graph.
    """
    return MOVEMENTS[node.op_type](node, array)


def _reshape(node: ir.Node, array: Indices) -> Indices:
    shape = constant_of(node, 1).tolist()
    if not attributes_of(node).get("allowzero", 0):
        shape = [array.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return array.reshape(shape)


def _flatten(node: ir.Node, array: Indices) -> Indices:
    axis = attributes_of(node).get("axis", 1)
    rows = int(np.prod(array.shape[:axis], dtype=np.int64))
    return array.reshape(rows, -1)


def _transpose(node: ir.Node, array: Indices) -> Indices:
    return array.transpose(attributes_of(node).get("perm"))


def _squeeze(node: ir.Node, array: Indices) -> Indices:
    return array.squeeze(_axes(node))


def _unsqueeze(node: ir.Node, array: Indices) -> Indices:
    return np.expand_dims(array, _axes(node) or ())


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return None
    return tuple(constant_of(node, 1).ravel().tolist())


def _same(_node: ir.Node, array: Indices) -> Indices:
    return array


MOVEMENTS: dict[str, Callable[[ir.Node, Any], Indices]] = {
    "Cast": _same,
    "Dropout": _same,
    "Flatten": _flatten,
    "Identity": _same,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
