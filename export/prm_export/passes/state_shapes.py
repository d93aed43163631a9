"""Shapes of what is computed on the way.

ONNX Runtime keeps maps in its own layout from one convolution to the next where it can see that all maps of a
sum or product have one shape. It cannot work that out for sides that are free, so graphs say it.
"""

from __future__ import annotations

import onnx_ir as ir

from prm_export.emit import attributes_of, input_of
from prm_export.passes.cellwise import is_dense, is_elementwise, is_number, weight_shape

Dims = tuple[int | str, ...]


def state_shapes(reverse: ir.Model) -> None:
    """State the shapes of maps that follow from shapes that are stated."""
    for node in reverse.graph:
        value = node.outputs[0]
        if value.shape is None and (dims := _follows(node)) is not None:
            state(value, dims)


def dims_of(value: ir.Value | None) -> Dims | None:
    """The stated shape of maps [N, C, h, w]."""
    if value is None or value.shape is None or len(value.shape) != 4:
        return None
    dims = tuple(dim if isinstance(dim, int) else dim.value or "" for dim in value.shape)
    return dims if all(dims) else None


def _follows(node: ir.Node) -> Dims | None:
    if node.op_type == "Conv":
        return _convolved(node)
    if not is_elementwise(node):
        return None
    found = {dims_of(value) for value in node.inputs if value is not None and not is_number(value)}
    return found.pop() if len(found) == 1 else None


def _convolved(node: ir.Node) -> Dims | None:
    dims, shape = dims_of(input_of(node)), weight_shape(node)
    if dims is None or shape is None or not is_dense(node):
        return None
    pads = attributes_of(node).get("pads") or (0, 0, 0, 0)
    keeps = (pads[0] + pads[2], pads[1] + pads[3]) == (shape[2] - 1, shape[3] - 1)
    return (dims[0], shape[0], *dims[2:]) if keeps else None


def state(value: ir.Value, dims: Dims | None) -> None:
    """State the shape of maps, of float32."""
    if dims is not None:
        value.shape, value.dtype = ir.Shape(dims), ir.DataType.FLOAT
