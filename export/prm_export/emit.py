"""Small helpers that read and write ONNX nodes, shared by the passes and the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.errors import ExportError

OPSET = 20
UNSETTLED = "prm_export.unsettled"
"""Domain of nodes that say what is needed; a later pass emits how it is computed."""
LOWEST = float(np.finfo(np.float32).min)


class Emitter:
    """Appends nodes to a graph, or collects them for one that does not exist yet.

    Args:
        graph: The graph to append to; None collects the nodes in ``nodes``.
    """

    def __init__(self, graph: ir.Graph | None = None) -> None:
        self._tape = ir.tape.Tape(graph)

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """The nodes emitted so far, in order."""
        return self._tape.nodes

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Emit a node of the default domain with one output."""
        return self._tape.op(op_type, inputs, attributes=attributes)

    def ops(
        self, op_type: str, outputs: int, *inputs: ir.Value | None, **attributes: Any
    ) -> Sequence[ir.Value]:
        """Emit a node of the default domain with several outputs."""
        return self._tape.op_multi_out(op_type, inputs, attributes=attributes, num_outputs=outputs)

    def unsettled(self, op_type: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """Emit a node that a later pass replaces."""
        return self._tape.op(op_type, inputs, attributes=attributes, domain=UNSETTLED)

    def constant(self, value: Any, dtype: Any = np.float32) -> ir.Value:
        """Emit a Constant."""
        return self.op("Constant", value=ir.tensor(np.asarray(value, dtype=dtype)))

    def int64(self, *values: int) -> ir.Value:
        """Emit a Constant int64 [len(values)]."""
        return self.constant(values, np.int64)

    def sides(self, image_like: ir.Value) -> ir.Value:
        """Emit the spatial size of [N, C, h, w] as int64 [2]."""
        return self.op("Shape", image_like, start=2)


def node_name(node: ir.Node) -> str:
    """How messages call a node: its operator and name."""
    return f"{node.domain}::{node.op_type} '{node.name}'" if node.domain else f"{node.op_type} '{node.name}'"


def input_of(node: ir.Node, index: int = 0) -> ir.Value:
    """The input of a node that its operator demands.

    Raises:
        ExportError: If the node lacks it.
    """
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise ExportError(
            f"{node_name(node)} lacks its input {index}: the classifier is not a valid ONNX model"
        )
    return value


def array_of(value: ir.Value) -> NDArray[Any] | None:
    """The constant a value holds (through a Cast, as weights are stored), or None."""
    if value.const_value is not None:
        return value.const_value.numpy()
    producer = value.producer()
    if producer is None:
        return None
    if producer.op_type == "Constant" and "value" in producer.attributes:
        return producer.attributes["value"].as_tensor().numpy()
    if producer.op_type == "Cast":
        stored = array_of(input_of(producer))
        return (
            None if stored is None else stored.astype(ir.DataType(producer.attributes["to"].as_int()).numpy())
        )
    return None


def constant_of(node: ir.Node, index: int) -> NDArray[Any]:
    """The constant that a node takes as an input.

    Raises:
        ExportError: If it is computed instead.
    """
    array = array_of(input_of(node, index))
    if array is None:
        raise ExportError(
            f"{node_name(node)}: input {index} has to be a constant, but it is computed in the graph"
        )
    return array


def make_model(
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    name: str,
    initializers: Sequence[ir.Value] = (),
) -> ir.Model:
    """A model of one graph."""
    graph = ir.Graph(
        inputs,
        outputs,
        nodes=nodes,
        initializers=initializers,
        opset_imports={"": OPSET, **{node.domain: 1 for node in nodes if node.domain == UNSETTLED}},
        name=name,
    )
    return ir.Model(graph, ir_version=10, producer_name="prm-edge")


def attributes_of(node: ir.Node) -> Mapping[str, Any]:
    """The attributes of a node as plain Python values."""
    return {name: attribute.value for name, attribute in node.attributes.items()}
