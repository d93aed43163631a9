"""Gains that are read at the peaks' own cells alone are computed there alone.

Above the first spatial layer a walk is a vector per peak, and its gains are gathered from whole maps. What
makes these maps cell by cell (1×1 convolutions and elementwise operators) commutes with the gathering.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from prm_export.emit import Emitter, array_of, attributes_of, input_of

CELLWISE = {"Add", "Clip", "Div", "Identity", "Mul", "Relu"}
"""Elementwise operators; of their inputs beside the maps only single numbers qualify."""


def compute_at_peaks(reverse: ir.Model) -> ir.Model:
    """Move the gathering of gains in a reverse graph before what they are computed by.

    Gathered gains are recognised by the nodes of :meth:`~prm_export.emit.Emitter.at_cells`: Squeeze, Flatten,
    Gather, Transpose.
    """
    for node in list(reverse.graph):
        gathered = _gathered(node)
        if gathered is None:
            continue
        gain, cell = gathered
        emitter = Emitter()
        at_peaks = _Cells(emitter, cell).take(gain)
        reverse.graph.insert_before(node, emitter.nodes)
        ir.convenience.replace_all_uses_with(node.outputs[0], at_peaks)
    common_passes.RemoveUnusedNodesPass()(reverse)
    return reverse


def _gathered(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """The map [1, C, h, w] and the cells that a node hands out the values of, if that is what it does."""
    chain = node
    for op_type in ("Transpose", "Gather", "Flatten"):
        producer = input_of(chain).producer() if chain.op_type == op_type else None
        if producer is None:
            return None
        if op_type == "Gather":
            cell = input_of(chain, 1)
            if attributes_of(chain).get("axis", 0) != 1:
                return None
        chain = producer
    return (input_of(chain), cell) if chain.op_type == "Squeeze" else None


class _Cells:
    """Emits the values of maps at some cells."""

    def __init__(self, emitter: Emitter, cell: ir.Value) -> None:
        self._emitter, self._cell = emitter, cell
        self._taken: dict[ir.Value, ir.Value] = {}

    def take(self, value: ir.Value) -> ir.Value:
        """The values [P, C] of a map [1, C, h, w] at the cells."""
        if value not in self._taken:
            node = value.producer()
            if node is not None and node.op_type == "Conv" and _is_pointwise(node):
                self._taken[value] = self._convolved(node)
            elif node is not None and node.op_type in CELLWISE:
                inputs = [None if x is None else x if _is_number(x) else self.take(x) for x in node.inputs]
                self._taken[value] = self._emitter.op(node.op_type, *inputs)
            else:
                self._taken[value] = self._emitter.at_cells(value, self._cell)
        return self._taken[value]

    def _convolved(self, node: ir.Node) -> ir.Value:
        W = self._emitter.op("Flatten", input_of(node, 1), axis=1)
        return self._emitter.op("Gemm", self.take(input_of(node)), W, *node.inputs[2:], transB=1)


def _is_number(value: ir.Value) -> bool:
    array = array_of(value)
    return array is not None and array.size == 1


def _is_pointwise(node: ir.Node) -> bool:
    attributes, W = attributes_of(node), array_of(input_of(node, 1))
    kernel = attributes.get("kernel_shape") or (None if W is None else W.shape[2:])
    return (
        kernel is not None
        and all(k == 1 for k in kernel)
        and all(stride == 1 for stride in attributes.get("strides") or ())
        and not any(attributes.get("pads") or ())
        and attributes.get("group", 1) == 1
        and attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )
