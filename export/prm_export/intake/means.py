"""Means over rows and columns that were taken one after the other."""

from __future__ import annotations

from functools import partial

import onnx_ir as ir

from prm_export.emit import Emitter, array_of, attributes_of, input_of
from prm_export.intake.rewrite import Shapes, replace_node


def merge_means(model: ir.Model, shapes: Shapes) -> ir.Model:
    """Write a ReduceMean of a ReduceMean, such as ``x.mean(3).mean(2)``, as one.

    Args:
        model: The classifier, changed in place.
        shapes: Shapes of its values, see ``value_shapes``.
    """
    for node in list(model.graph):
        below = input_of(node).producer() if node.op_type == "ReduceMean" else None
        if below is None or below.op_type != "ReduceMean" or len(below.outputs[0].uses()) != 1:
            continue
        rank = len(shapes.get(input_of(below).name or "", ()))
        axes, first = _axes(node), _axes(below)
        keeps = [bool(attributes_of(n).get("keepdims", 1)) for n in (below, node)]
        if not rank or axes is None or first is None or keeps[0] != keeps[1]:
            continue
        reduced = {axis % rank for axis in first}
        left = [axis for axis in range(rank) if keeps[0] or axis not in reduced]
        both = sorted(reduced | {left[axis] for axis in axes})
        replace_node(node, partial(_write, x=input_of(below), axes=both, keepdims=int(keeps[0])))
    return model


def _axes(node: ir.Node) -> list[int] | None:
    axes = array_of(input_of(node, 1)) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    return None if axes is None else axes.ravel().tolist()


def _write(emitter: Emitter, x: ir.Value, axes: list[int], keepdims: int) -> ir.Value:
    return emitter.op("ReduceMean", x, emitter.int64(*axes), keepdims=keepdims)
