"""Gains that the reverse graph computes itself: a frame without peaks pays for none of them.

The forward graph hands out what gains are made of instead of the gains. Wide maps that follow from narrow
ones with few operations (those of an inverted bottleneck are six times as wide as what goes in) are computed
again: on a CPU that takes less time than writing and reading them.
"""

from __future__ import annotations

from math import prod

import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnx import compose, helper
from onnx.utils import Extractor

from prm_export.emit import Emitter, array_of, input_of
from prm_export.passes.gains import Gains
from prm_export.passes.share_weights import share_weights
from prm_export.reverse_path import ReversePath
from prm_export.walks import ACTIVATIONS, ancestors, descendants

PREFIX = "gains/"
HANDED = "gain_input_"
WIDER = 2.0
"""A map is computed again where it is so many times as large as what it follows from."""
MOST_PRODUCTS = 512
"""A map is computed again with at most so many multiplications per value."""


def move_gains(
    model: ir.Model, backprop: ir.Model, gains: Gains, path: ReversePath
) -> tuple[ir.Model, ir.Model]:
    """Move the computation of gains from the forward graph to the reverse graph.

    Args:
        model: The forward graph with the gains among its outputs.
        backprop: The reverse graph with the gains among its inputs.
        gains: What goes from one to the other.
        path: The layers that peaks are propagated through.

    Returns:
        The forward graph with outputs ``gain_input_*`` instead, and the reverse graph that takes these.
    """
    moved = [value for value in gains.values if value is not gains.grid]
    outputs = [value for value in model.graph.outputs if value not in moved]
    handed, parts = _without_parts(model, _handed_over(model, outputs, moved, path))
    for value in handed:
        value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape((1, *path.declared(value)[1:]))
    names = [value.name or "" for value in moved]
    sources = [value.name or "" for value in handed]
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # as stated for a batch
    proto.graph.value_info.extend(
        ir.to_proto(value) for value in handed if value is not model.graph.inputs[0]
    )
    for node in proto.graph.node:
        if node.output[0] in parts:  # here the sum is given, and what it is the sum of is not asked for
            node.CopyFrom(helper.make_node("Sub", parts[node.output[0]], node.output))
    own = Extractor(proto).extract_model(sources, names)
    merged = compose.merge_models(
        compose.add_prefix(own, PREFIX),
        ir.to_proto(backprop),
        io_map=[(PREFIX + name, name) for name in names],
    )
    reverse = ir.from_proto(merged)
    _order_inputs(reverse, backprop, sources)
    share_weights(reverse)
    common_passes.RemoveUnusedNodesPass()(reverse)
    reverse.graph.name = backprop.graph.name
    emitter = Emitter(model.graph)
    for n, value in enumerate(handed):
        shape = ir.Shape(path.declared(value))
        # an Identity would be a copy, which takes as long as a small layer
        output = emitter.op("Identity", value) if value.producer() is None or value in outputs else value
        output.name, output.dtype, output.shape = f"{HANDED}{n:03d}", ir.DataType.FLOAT, shape
        outputs.append(output)
    model.graph.outputs[:] = outputs
    common_passes.RemoveUnusedNodesPass()(model)
    return model, reverse


def _handed_over(
    model: ir.Model, kept: list[ir.Value], moved: list[ir.Value], path: ReversePath
) -> list[ir.Value]:
    """The maps of the network's own that gains are computed from, in the graph's order."""
    image = model.graph.inputs[0]
    own = set().union(*map(ancestors, kept))
    maps = {image} | {value for node in descendants(image) & own for value in node.outputs}
    needed = {
        value
        for node in set().union(*map(ancestors, moved)) - own
        for value in node.inputs
        if value is not None and value in maps
    }
    chosen: dict[ir.Value, set[ir.Value]] = {}

    def follows_from(value: ir.Value) -> set[ir.Value]:
        if value not in chosen:
            node = value.producer()
            below = set().union(*(follows_from(U) for U in node.inputs if U in maps)) if node else set()
            again = node is not None and _is_cheap(node) and _wider(value, below, path)
            chosen[value] = below if again else {value}
        return chosen[value]

    handed = set().union(*map(follows_from, needed))
    order = {value: n for n, node in enumerate(model.graph) for value in node.outputs}
    return sorted(handed, key=lambda value: order.get(value, -1))


def _without_parts(
    model: ir.Model, handed: list[ir.Value]
) -> tuple[list[ir.Value], dict[str, tuple[str, str]]]:
    """Of a sum and its two parts one part follows from the others.

    Returns:
        What is left to be handed over, and by the name of each part left out those of the sum and the other.
    """
    parts: dict[str, tuple[str, str]] = {}
    for node in model.graph:
        if node.op_type == "Add" and node.outputs[0] in handed and all(U in handed for U in node.inputs):
            rest, part = sorted((input_of(node, 0), input_of(node, 1)), key=handed.index)
            parts[part.name or ""] = node.outputs[0].name or "", rest.name or ""
    return [value for value in handed if value.name not in parts], parts


def _is_cheap(node: ir.Node) -> bool:
    if node.op_type != "Conv":
        return node.op_type in ACTIVATIONS
    W = array_of(input_of(node, 1))
    return W is not None and prod(W.shape[1:]) <= MOST_PRODUCTS


def _wider(value: ir.Value, below: set[ir.Value], path: ReversePath) -> bool:
    return prod(path.shape(value)) >= WIDER * sum(prod(path.shape(U)) for U in below)


def _order_inputs(reverse: ir.Model, backprop: ir.Model, sources: list[str]) -> None:
    """``peaks`` and ``gain_grid`` first, as ever, then what is handed over by its new name."""
    inputs = {value.name: value for value in reverse.graph.inputs}
    first = [inputs[value.name] for value in backprop.graph.inputs if value.name in inputs]
    rest = [inputs[PREFIX + name] for name in sources]
    for n, value in enumerate(rest):
        value.name = f"{HANDED}{n:03d}"
    reverse.graph.inputs[:] = [*first, *rest]
