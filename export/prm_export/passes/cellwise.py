"""Layers that work cell by cell, and so on any part of a map as well as on the whole."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from prm_export.emit import Emitter, array_of, attributes_of, constant_of, input_of

ELEMENTWISE = {"Add", "Clip", "Div", "Identity", "Mul", "Relu", "Sum"}
"""Of their inputs beside maps only single numbers qualify."""


def is_elementwise(node: ir.Node | None) -> bool:
    """Whether each value follows from the values at the same place."""
    return node is not None and node.op_type in ELEMENTWISE


def redone(emitter: Emitter, node: ir.Node, part_of: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """An elementwise node on parts of its inputs."""
    inputs = (value if value is None or is_number(value) else part_of(value) for value in node.inputs)
    return emitter.op(node.op_type, *inputs)


def is_pointwise(node: ir.Node | None) -> bool:
    """Whether a node is a 1×1 convolution."""
    if node is None or node.op_type != "Conv" or not is_dense(node):
        return False
    attributes, shape = attributes_of(node), weight_shape(node)
    plain = attributes.get("group", 1) == 1 and not any(attributes.get("pads") or ())
    return plain and shape is not None and shape[2:] == (1, 1)


def is_depthwise(node: ir.Node | None) -> bool:
    """Whether a node is a convolution of each channel by itself."""
    if node is None or node.op_type != "Conv":
        return False
    shape = weight_shape(node)
    return shape is not None and shape[:2] == (attributes_of(node).get("group", 1), 1)


def is_dense(node: ir.Node) -> bool:
    """Whether a convolution visits every cell, with a kernel without gaps and explicit pads."""
    attributes = attributes_of(node)
    steps = all(n == 1 for name in ("strides", "dilations") for n in attributes.get(name) or ())
    return steps and attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")


def weight_shape(node: ir.Node) -> tuple[int, ...] | None:
    """Shape of the constant weights of a convolution."""
    return _constant_shape(input_of(node, 1))


def _constant_shape(value: ir.Value) -> tuple[int, ...] | None:
    array, producer = array_of(value), value.producer()
    if array is not None or producer is None:
        return None if array is None else array.shape
    if producer.op_type not in ("Relu", "Slice", "Transpose"):
        return None
    shape = _constant_shape(input_of(producer))
    if shape is None or producer.op_type == "Relu":
        return shape
    if producer.op_type == "Transpose":
        return tuple(shape[axis] for axis in attributes_of(producer)["perm"])
    starts, ends, axes, steps = (constant_of(producer, n).tolist() for n in range(1, 5))
    cut = {axis: slice(*part) for axis, *part in zip(axes, starts, ends, steps, strict=True)}
    return tuple(len(range(size)[cut.get(axis, slice(None))]) for axis, size in enumerate(shape))


def is_number(value: ir.Value) -> bool:
    """Whether a value is one constant number."""
    array = array_of(value)
    return array is not None and array.size == 1
