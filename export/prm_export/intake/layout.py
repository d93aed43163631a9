"""Channels first: what Keras and TensorFlow write with channels last."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnxscript import rewriter
from onnxscript.rewriter.rules.common import no_op_transpose_rule, transpose_transpose_rule

from prm_export.emit import Emitter, array_of, attributes_of
from prm_export.intake.read import Source
from prm_export.intake.rewrite import replace_node

TO_LAST = (0, 2, 3, 1)
AXES = {"ReduceMax", "ReduceMean"}
ALONG_AXES = {"Concat", "Pad"} | AXES
ELEMENTWISE = {
    "Add",
    "Cast",
    "Clip",
    "Div",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Mul",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Sub",
    "Tanh",
}
SCALAR_INPUTS = {"Clip"}
RULES = (transpose_transpose_rule, no_op_transpose_rule)


def channels_first(model: ir.Model, source: Source) -> ir.Model:
    """Let the model take [1, 3, H, W], and move the transpositions out of the way of its layers.

    A transposition sinks through operators that work value by value until it meets the one that undoes it.
    """
    if source.channels_last:
        _turn_input(model, source)
    sunk = True
    while sunk:
        model = rewriter.rewrite(model, pattern_rewrite_rules=list(RULES))
        nodes = [node for node in model.graph if node.op_type in ELEMENTWISE | ALONG_AXES]
        sunk = sum(map(_sink, nodes)) > 0
    return model


def _turn_input(model: ir.Model, source: Source) -> None:
    graph = model.graph
    old = graph.inputs[0]
    image = ir.val(old.name, ir.DataType.FLOAT, (1, 3, source.height, source.width))
    emitter = Emitter()
    turned = emitter.op("Transpose", image, perm=TO_LAST)
    ir.convenience.replace_all_uses_with(old, turned)
    graph.inputs[0] = image
    graph.insert_before(graph[0], emitter.nodes)


def _sink(node: ir.Node) -> bool:
    """Apply an operator before the transposition of its inputs instead of after it."""
    data = [value for value in node.inputs if value is not None and array_of(value) is None]
    turns = [value.producer() for value in data]
    perms = {_permutation(turn) for turn in turns}
    perm = perms.pop() if len(perms) == 1 else None
    if perm is None:
        return False
    if node.op_type in ALONG_AXES:
        return _sink_along_axes(node, perm)

    def build(emitter: Emitter) -> ir.Value:
        inputs = [_before(emitter, node, value, perm) for value in node.inputs]
        plain = emitter.op(node.op_type, *inputs, **attributes_of(node))
        return emitter.op("Transpose", plain, perm=perm)

    replace_node(node, build)
    return True


def _sink_along_axes(node: ir.Node, perm: tuple[int, ...]) -> bool:
    """The same for operators that name axes: axis n of what is transposed is axis ``perm[n]`` before."""
    attributes, rank = dict(attributes_of(node)), len(perm)
    numbers = None if len(node.inputs) < 2 or node.inputs[1] is None else array_of(node.inputs[1])
    data = [value for value in node.inputs if value is not None and array_of(value) is None]
    reduces = node.op_type in AXES and not attributes.get("keepdims", 1)
    if node.op_type == "Concat":
        if len(data) < len(node.inputs):
            return False
        attributes["axis"] = perm[attributes["axis"] % rank]
    elif numbers is None or (node.op_type == "Pad" and len(numbers) != 2 * rank):
        return False
    elif node.op_type == "Pad":
        back = np.argsort(perm)
        numbers = np.concatenate([numbers[:rank][back], numbers[rank:][back]])
    else:
        numbers = np.array([perm[axis % rank] for axis in numbers.ravel()])
        if reduces and [axis for axis in perm if axis not in numbers] != sorted(
            set(range(rank)) - {*numbers}
        ):
            return False

    def build(emitter: Emitter) -> ir.Value:
        sources = [_before(emitter, node, value, perm) for value in data]
        rest = [] if numbers is None else [emitter.int64(*numbers.tolist()), *node.inputs[2:]]
        plain = emitter.op(node.op_type, *sources, *rest, **attributes)
        return plain if reduces else emitter.op("Transpose", plain, perm=perm)

    replace_node(node, build)
    return True


def _permutation(node: ir.Node | None) -> tuple[int, ...] | None:
    return None if node is None or node.op_type != "Transpose" else tuple(attributes_of(node)["perm"])


def _before(
    emitter: Emitter, node: ir.Node, value: ir.Value | None, perm: tuple[int, ...]
) -> ir.Value | None:
    if value is None:
        return None
    constant = array_of(value)
    if constant is None:
        turn = value.producer()
        return None if turn is None else turn.inputs[0]
    if constant.size == 1 or node.op_type in SCALAR_INPUTS:
        return value
    full = constant.reshape((1,) * (len(perm) - constant.ndim) + constant.shape)
    return emitter.constant(full.transpose(np.argsort(perm)), constant.dtype)
