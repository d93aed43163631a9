"""Operators that route channels, each in the one form that has a rule."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import onnx_ir as ir

from prm_export.emit import Emitter, array_of, attributes_of, input_of
from prm_export.intake.movement import MOVEMENTS, moved
from prm_export.intake.rewrite import Shapes, bypass, replace_node

POOLS = {"AveragePool", "MaxPool"}


def route_plainly(model: ir.Model, shapes: Shapes) -> ir.Model:
    """Write Sum as Add, Split as Slice, a channel shuffle as Gather, a Resize to sizes as one by scales; drop
    pools of single cells.

    Args:
        model: The classifier, changed in place.
        shapes: Shapes of its values, see ``value_shapes``.
    """
    for node in list(model.graph):
        if node.op_type == "Sum":
            _add_up(node)
        elif node.op_type == "Split":
            _slice(node, shapes)
        elif node.op_type in POOLS and _is_single_cell(node):
            bypass(node, input_of(node))
        elif node.op_type == "Resize":
            _scale_resize(node, shapes)
        elif node.op_type in MOVEMENTS:
            _gather(node, shapes)
    return model


def _add_up(node: ir.Node) -> None:
    def build(emitter: Emitter) -> ir.Value:
        total, *rest = (value for value in node.inputs if value is not None)
        for value in rest:
            total = emitter.op("Add", total, value)
        return total

    replace_node(node, build)


def _slice(node: ir.Node, shapes: Shapes) -> None:
    """Only a Split of channels: others stay, and are named as having no rule."""
    sizes = [shapes.get(output.name or "", ()) for output in node.outputs]
    axis = attributes_of(node).get("axis", 0)
    if not all(len(shape) == 4 for shape in sizes) or axis % 4 != 1 or not isinstance(node.graph, ir.Graph):
        return
    ends = list(accumulate(shape[1] for shape in sizes))
    emitter = Emitter()
    for output, start, end in zip(node.outputs, [0, *ends], ends, strict=False):
        bounds = (emitter.int64(number) for number in (start, end, 1))
        part = emitter.op("Slice", input_of(node), *bounds)
        ir.convenience.replace_all_uses_with(output, part, replace_graph_outputs=True)
        part.name = output.name
    node.graph.insert_before(node, emitter.nodes)
    node.graph.remove(node, safe=True)


def _scale_resize(node: ir.Node, shapes: Shapes) -> None:
    """Give a Resize to a constant size the scales that it comes to, if they are whole numbers."""
    sizes = array_of(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    before, after = (shapes.get(value.name or "", ()) for value in (input_of(node), node.outputs[0]))
    if sizes is None or len(before) != 4 or any(b % a for a, b in zip(before, after, strict=True)):
        return
    scales = [b // a for a, b in zip(before, after, strict=True)]
    replace_node(
        node,
        lambda emitter: emitter.op(
            "Resize", input_of(node), None, emitter.constant(scales), **attributes_of(node)
        ),
    )


def _is_single_cell(node: ir.Node) -> bool:
    attributes = attributes_of(node)
    numbers = (*attributes["kernel_shape"], *attributes.get("strides", (1, 1)))
    return len(node.outputs) == 1 and set(numbers) == {1} and not any(attributes.get("pads", (0,)))


def _gather(node: ir.Node, shapes: Shapes) -> None:
    """Find the source of a chain of movements that only permutes the channels of a map."""
    shape = shapes.get(node.outputs[0].name or "", ())
    if len(shape) != 4:
        return
    chain, source = [node], input_of(node)
    while shapes.get(source.name or "") != shape:
        producer = source.producer()
        if producer is None or producer.op_type not in MOVEMENTS:
            return
        chain.append(producer)
        source = input_of(producer)
    _, C, h, w = shape
    cells = np.arange(C * h * w).reshape(shape)
    found = cells
    for step in reversed(chain):
        found = moved(step, found)
    order = found[0, :, 0, 0] // (h * w)
    if not np.array_equal(found, cells[:, order]):
        return
    if (order == np.arange(C)).all():
        bypass(node, source)
    else:
        replace_node(node, lambda emitter: emitter.op("Gather", source, emitter.int64(*order), axis=1))
