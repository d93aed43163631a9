"""The rules of the code that was published with the paper, to compare with it.

Only convolutions hand down visiting probabilities there, with the tensor's smallest value as zero:

    P(U) = (U - min U) · convT(P(V) / conv(U - min U, W⁺), W⁺)

All other layers hand P to what is below as they would a gradient: a batch norm multiplies it by its scale, a
ReLU lets it through where it let the activation through, a max-pool hands it to the winner, a sum copies it
into both branches. P is carried itself, not G; each convolution reads its input through a hook
(``hook_convolutions``) whose gain is U - min U. The published code knows no gates: they are numbers here, as
in the paper's rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir

from prm_export.emit import attributes_of, constant_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.reverse_path import ReversePath
from prm_export.rules import convolution, pooling, resize, routing, scale, structure, transposed
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule, Rules, hand_on, no_gain
from prm_export.rules.derivatives import DERIVATIVES, SLOPES, Derivative
from prm_export.rules.window import window_of
from prm_export.walks import carrying_inputs, gate_of

SMALLEST_NORMALISER = 1e-10
"""Below it nothing is handed down; above it is added to the normaliser."""
HOOK = "prm.hook"
"""Marks the Identity nodes that are hooks."""


def hook_convolutions(model: ir.Model, path: ReversePath) -> ReversePath:
    """Put an Identity before each convolution, the place where P is multiplied by U - min U.

    Returns:
        The path through the hooks too.
    """
    shapes, turned = dict(path.shapes), dict(path.turned_shapes)
    hooks: dict[ir.Value, ir.Node] = {}
    nodes: list[ir.Node] = []
    for node in (path.top, *path.nodes):
        nodes.append(node)
        if node.op_type != "Conv":
            continue
        U = input_of(node)
        if U not in hooks:
            hook = ir.Node("", "Identity", [U], name=f"evidence of {U.name}")
            hook.meta[HOOK] = True
            hook.outputs[0].name = f"{U.name}_hooked"
            hooks[U] = hook
            model.graph.insert_before(_first_consumer(model, U), [hook])
            shapes[hook.outputs[0].name] = path.shape(U)
            turned[hook.outputs[0].name] = path.turned_shape(U)
        node.replace_input_with(0, hooks[U].outputs[0])
    visited = dict.fromkeys(nodes[1:]) | dict.fromkeys(hooks.values())
    order = [node for node in reversed(model.graph) if node in visited]
    return replace(path, nodes=tuple(order), shapes=shapes, turned_shapes=turned)


def _first_consumer(model: ir.Model, U: ir.Value) -> ir.Node:
    consumers = set(U.consumers())
    return next(node for node in model.graph if node in consumers)


def _hook_gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    if HOOK not in node.meta:
        return None  # an Identity of the network's own
    return forward.op("Identity", forward.above_minimum(node.outputs[0]))


def _conv_gain(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    constant_of(node, 1)
    evidence = forward.above_minimum(input_of(node)), forward.positive(input_of(node, 1))
    group = attributes_of(node).get("group", 1)
    normaliser = forward.op("Conv", *evidence, group=group, **window_of(node, forward.path).attributes)
    smallest = forward.constant(SMALLEST_NORMALISER)
    reached = forward.op("Cast", forward.op("GreaterOrEqual", normaliser, smallest), to=ir.DataType.FLOAT)
    return forward.op("Div", reached, forward.op("Add", normaliser, smallest))


def _copy(_reverse: ReverseGraph, _node: ir.Node, P: Carried) -> Sequence[Carried]:
    return [P, P]


def _add_checks(forward: ForwardGraph, node: ir.Node) -> None:
    shapes = {forward.path.shapes.get(value.name or "") for value in (*node.inputs, *node.outputs) if value}
    if len(shapes) > 1:
        raise ExportError(f"{node_name(node)}: only the sum of two branches of the same shape has a rule")


def _batch_norm(reverse: ReverseGraph, node: ir.Node, P: Carried) -> Sequence[Carried | None]:
    scale, variance = constant_of(node, 1), constant_of(node, 4)
    factor = scale / np.sqrt(variance + attributes_of(node).get("epsilon", 1e-5))
    sides = () if P.pointwise else (1, 1)
    scaled = reverse.op("Mul", P.value, reverse.constant(factor.reshape(1, -1, *sides)))
    return [Carried(scaled, P.pointwise)] + [None] * (len(node.inputs) - 1)


def _average_gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    """Of how much more a cell makes up where a window is cut off by the border."""
    window = window_of(node, forward.path)
    if attributes_of(node).get("count_include_pad", 0) or not any(window.pads):
        return None
    shape = forward.op("Shape", input_of(node))
    ones = forward.op("ConstantOfShape", shape, value=ir.tensor(np.ones(1, np.float32)))
    return forward.op("Reciprocal", forward.op("AveragePool", ones, count_include_pad=1, **window.attributes))


def _average_propagate(reverse: ReverseGraph, node: ir.Node, P: Carried) -> Sequence[Carried | None]:
    (spread,) = (part for part in pooling.RULE.propagate(reverse, node, P) if part is not None)
    share = reverse.constant(1 / prod(window_of(node, reverse.path).kernel))
    return [Carried(reverse.op("Mul", spread.value, share), pointwise=False)]


def _winners(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    """Where the maximum of each window lies: channel · cells + cell, int64."""
    window = window_of(node, forward.path)
    _, winners = forward.ops("MaxPool", 2, input_of(node), **window.attributes)
    winners.dtype = ir.DataType.INT64
    return winners


def _to_winners(reverse: ReverseGraph, node: ir.Node, P: Carried, winners: ir.Value) -> Carried:
    channels, maps = reverse.path.shape(input_of(node))[1], reverse.spread(P)
    peaks = reverse.op("Shape", maps, start=0, end=1)
    sides = _sides_below(reverse, node, maps)
    below = reverse.op("Concat", peaks, reverse.int64(channels), sides, axis=0)
    flat = reverse.op(
        "Concat", peaks, reverse.op("Mul", reverse.int64(channels), _cells(reverse, sides)), axis=0
    )
    empty = reverse.op("ConstantOfShape", flat, value=ir.tensor(np.zeros(1, np.float32)))
    rows, places = reverse.op("Flatten", maps, axis=1), reverse.op("Flatten", winners, axis=1)
    everywhere = reverse.op("Expand", places, reverse.op("Shape", rows))
    handed = reverse.op("ScatterElements", empty, everywhere, rows, axis=1, reduction="add")
    return Carried(reverse.op("Reshape", handed, below), pointwise=False)


def _cells(reverse: ReverseGraph, sides: ir.Value) -> ir.Value:
    return reverse.op("ReduceProd", sides, keepdims=1)


def _sides_below(reverse: ReverseGraph, node: ir.Node, V: ir.Value) -> ir.Value:
    """Height and width of a window's input, from those of its output."""
    window = window_of(node, reverse.path)
    reach = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
    rest = [
        r - s + missing - before - after
        for r, s, missing, before, after in zip(
            reach, window.strides, window.output_padding, window.pads[:2], window.pads[2:], strict=True
        )
    ]
    strided = reverse.op("Mul", reverse.sides(V), reverse.int64(*window.strides))
    return reverse.op("Add", strided, reverse.int64(*rest))


def _transposed_propagate(reverse: ReverseGraph, node: ir.Node, P: Carried) -> Sequence[Carried | None]:
    placement = {k: v for k, v in attributes_of(node).items() if k in transposed.PLACEMENT}
    handed = reverse.op("Conv", reverse.spread(P), reverse.weight(constant_of(node, 1)), **placement)
    return [Carried(handed, pointwise=False)] + [None] * (len(node.inputs) - 1)


def _gate_gain(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    """The derivative of x · g(x) where the gate is one of x itself, else the gate."""
    gate = gate_of(node)
    if gate is None:
        raise ExportError(
            f"{node_name(node)}: only the product with a constant or with the output of a sigmoid has a rule"
        )
    (x,) = carrying_inputs(node)
    shape, source = forward.path.shape, gate.producer()
    if shape(x) != shape(node.outputs[0]) or len(shape(gate)) != 4:
        raise ExportError(f"{node_name(node)}: only a gate that is no larger than the maps has a rule")
    if source is None or source.op_type not in SLOPES or input_of(source) is not x:
        return forward.op("Identity", gate)
    return forward.op("Add", gate, forward.op("Mul", x, SLOPES[source.op_type](forward, source)))


def _activation(derivative: Derivative) -> Rule:
    return Rule(derivative, hand_on)


REFERENCE = Rules(
    name="reference",
    operators={
        **{operator: _activation(derivative) for operator, derivative in DERIVATIVES.items()},
        "Add": Rule(_add_checks, _copy),
        "AveragePool": Rule(_average_gain, _average_propagate),
        "BatchNormalization": Rule(no_gain, _batch_norm),
        "Concat": structure.CONCAT,
        "Conv": Rule(_conv_gain, convolution.RULE.propagate),
        "ConvTranspose": Rule(transposed.check, _transposed_propagate),
        "Dropout": structure.IDENTITY,
        "Gather": routing.GATHER,
        "Identity": Rule(_hook_gain, hand_on),
        "MaxPool": Rule(_winners, hand_on, weigh=_to_winners),
        "Mul": Rule(_gate_gain, scale.RULE.propagate),
        "Pad": structure.PAD,
        "Resize": Rule(resize.check, resize.RULE.propagate),
        "Slice": routing.SLICE,
    },
    carries_gain=False,
    folds=False,
    prepare=hook_convolutions,
)
