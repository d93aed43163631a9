"""How much a graph computes: multiply-accumulates of its convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import inliner, numpy_helper

Shapes = dict[str, tuple[int, ...]]
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that multiply and add."""


def shapes_for(
    model: onnx.ModelProto,
    inputs: Mapping[str, tuple[int, ...]],
    known: Mapping[str, NDArray[np.int64]] | None = None,
) -> Shapes:
    """The shapes of a graph's values for inputs of these shapes, as far as they follow.

    Args:
        model: The graph, functions and all.
        inputs: Shape of each input.
        known: Inputs whose values decide shapes, such as ``gain_grid``.
    """
    proto = inliner.inline_local_functions(model)
    known = known or {}
    for value in list(proto.graph.input):
        if value.name in known:
            proto.graph.input.remove(value)
            proto.graph.initializer.append(numpy_helper.from_array(known[value.name], value.name))
            continue
        shape = value.type.tensor_type.shape
        shape.ClearField("dim")
        for size in inputs[value.name]:
            shape.dim.add().dim_value = size
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    found = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.tensor_type.HasField("shape")
    }
    found |= {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    return {name: shape for name, shape in found.items() if all(shape)}


def count_macs(model: onnx.ModelProto, shapes: Shapes) -> int | None:
    """Multiply-accumulates of all convolutions and matrix products; None if a shape is unknown.

    Args:
        model: The graph.
        shapes: Shapes of its values, from :func:`shapes_for`.
    """
    counts = [node_macs(node, shapes) for node in model.graph.node if node.op_type in PRODUCTS]
    return None if None in counts else sum(count for count in counts if count is not None)


def node_macs(node: onnx.NodeProto, shapes: Shapes) -> int | None:
    """Multiply-accumulates of a node of :data:`PRODUCTS`; None if a shape is unknown."""
    sizes = [shapes.get(name) for name in (*node.input[:2], node.output[0])]
    if any(size is None for size in sizes):
        return None
    a, b, y = (size or () for size in sizes)
    if node.op_type == "Conv":
        return prod(y) * prod(b[1:])
    if node.op_type == "ConvTranspose":
        return prod(a) * prod(b[1:])
    transposed = any(item.name == "transA" and item.i for item in node.attribute)
    return prod(y) * a[-2 if transposed else -1]
