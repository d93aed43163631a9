"""Ways through a graph: what lies above and below a value, and which way peak back-propagation takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from prm_export.emit import input_of

Inputs = Callable[[ir.Node], Sequence[ir.Value]]
KEEP_EVIDENCE = {"LeakyRelu", "PRelu", "Relu"}
"""Activations that leave positive values as they are."""
SQUASHING = {"Celu", "Clip", "Elu", "Gelu", "HardSwish", "LRN", "Mish", "Selu", "Softsign", "Tanh"}
ACTIVATIONS = KEEP_EVIDENCE | SQUASHING
"""Operators whose output is positive where their input is, and nowhere else (a Clip: from 0 on)."""
PASS_THROUGH = {"Identity", "Dropout"}
GATES = {"Sigmoid", "HardSigmoid", "Softmax"}
RESHAPING = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


def all_inputs(node: ir.Node) -> Sequence[ir.Value]:
    """Every value that a node takes."""
    return [value for value in node.inputs if value is not None]


def carrying_inputs(node: ir.Node) -> Sequence[ir.Value]:
    """The values that a node hands probability down to: all but a gate that scales another value."""
    gate = gate_of(node)
    return all_inputs(node) if gate is None else [value for value in all_inputs(node) if value is not gate]


def gate_of(node: ir.Node) -> ir.Value | None:
    """The gate of a product ``x · gate``: what comes out of a sigmoid, or None.

    That is the gate of squeeze and excitation, and of ``x · sigmoid(x)``.
    """
    if node.op_type != "Mul":
        return None
    for value in reversed(all_inputs(node)):
        producer = value.producer()
        while producer is not None and producer.op_type in RESHAPING:
            producer = input_of(producer).producer()
        if producer is not None and producer.op_type in GATES:
            return value
    return None


def activation_of(V: ir.Value) -> ir.Value | None:
    """What comes out of the activation that V alone feeds: one node, or ``V · sigmoid(V)``; else None."""
    consumers = tuple(V.consumers())
    if len(consumers) == 1 and consumers[0].op_type in ACTIVATIONS:
        return consumers[0].outputs[0]
    products = [node for node in consumers if node.op_type == "Mul"]
    if len(consumers) != 2 or len(products) != 1:
        return None
    gate = gate_of(products[0])
    producer = None if gate is None else gate.producer()
    if gate is None or producer not in consumers or len(gate.uses()) != 1:
        return None
    return products[0].outputs[0]


def ancestors(value: ir.Value, inputs: Inputs = all_inputs) -> set[ir.Node]:
    """The nodes that a value is computed by."""
    found: set[ir.Node] = set()
    frontier = [value.producer()]
    while frontier:
        node = frontier.pop()
        if node is None or node in found:
            continue
        found.add(node)
        frontier.extend(source.producer() for source in inputs(node))
    return found


def descendants(value: ir.Value, inputs: Inputs = all_inputs) -> set[ir.Node]:
    """The nodes that a value has a part in."""
    found: set[ir.Node] = set()
    frontier = [value]
    while frontier:
        source = frontier.pop()
        for node in source.consumers():
            if node not in found and any(value is source for value in inputs(node)):
                found.add(node)
                frontier.extend(node.outputs)
    return found


def separators(image: ir.Value, head: ir.Value, inputs: Inputs = all_inputs) -> list[ir.Value]:
    """The values that every path from the image to the head runs through, nearest to the image first."""
    between = ancestors(head, inputs) & descendants(image, inputs)

    def edges(value: ir.Value) -> set[tuple[ir.Value, ir.Node]]:
        consumers = (node for node in value.consumers() if node in between)
        return {(value, node) for node in consumers if any(source is value for source in inputs(node))}

    found = [image]
    open_edges = edges(image)
    for node in (node for node in image.graph or () if node in between):  # in topological order
        V = node.outputs[0]
        open_edges = {edge for edge in open_edges if edge[1] is not node} | edges(V)
        if all(source is V for source, _ in open_edges):
            found.append(V)
    return found
