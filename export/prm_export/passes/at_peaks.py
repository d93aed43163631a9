"""Gains around peaks: computed there alone where that is less work.

Above the first spatial layer a walk is a vector per peak, and down to where walks join it is a window. What
it is multiplied by is read off maps. What makes these cell by cell (1×1 convolutions and elementwise
operators) can as well be done to what was read, or with channels last, as windows want them; and a depthwise
convolution at single cells is a sum over windows.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from prm_export.emit import UNSETTLED, Emitter, attributes_of, input_of
from prm_export.passes.cellwise import (
    is_dense,
    is_depthwise,
    is_elementwise,
    is_pointwise,
    redone,
    weight_shape,
)
from prm_export.rules.base import AT_CELLS, IN_WINDOWS
from prm_export.rules.peak_windows import LARGEST, PeakWindows


def compute_at_peaks(reverse: ir.Model) -> ir.Model:
    """Settle how maps are read around peaks, in a reverse graph that takes ``peaks`` and ``gain_grid``."""
    inputs = {value.name: value for value in reverse.graph.inputs}
    emitter = Emitter()
    reading = _Reading(emitter, PeakWindows(emitter, inputs["peaks"], inputs["gain_grid"]))
    inserted = 0
    for node in list(reverse.graph):
        if node.domain != UNSETTLED or node.op_type not in (AT_CELLS, IN_WINDOWS):
            continue
        maps = input_of(node)
        if node.op_type == AT_CELLS:
            found = reading.at_cells(maps)
        else:
            found = reading.in_windows(maps, attributes_of(node)["reach"])
        reverse.graph.insert_before(node, emitter.nodes[inserted:])
        inserted = len(emitter.nodes)
        ir.convenience.replace_all_uses_with(node.outputs[0], found)
        reverse.graph.remove(node, safe=True)
    common_passes.CommonSubexpressionEliminationPass()(reverse)
    common_passes.RemoveUnusedNodesPass()(reverse)
    common_passes.RemoveUnusedOpsetsPass()(reverse)
    return reverse


class _Reading:
    """Emits what maps [1, C, h, w] hold around peaks."""

    def __init__(self, emitter: Emitter, windows: PeakWindows) -> None:
        self._emitter, self._windows = emitter, windows
        self._cells: dict[ir.Value, ir.Value] = {}
        self._unbounded: dict[tuple[ir.Value, int], ir.Value] = {}
        self._rows: dict[ir.Value, ir.Value] = {}

    def at_cells(self, maps: ir.Value) -> ir.Value:
        """The values [P, C] at the peaks' own cells."""
        if maps not in self._cells:
            self._cells[maps] = self._at_cells(maps)
        return self._cells[maps]

    def in_windows(self, maps: ir.Value, reach: int) -> ir.Value:
        """The windows [P, k², C] around peaks, 0 outside of the map."""
        _, inside = self._windows.cells(reach)
        return self._emitter.op("Mul", self._in_windows(maps, reach), inside)

    def _at_cells(self, maps: ir.Value) -> ir.Value:
        op, node = self._emitter.op, maps.producer()
        if node is not None and is_elementwise(node):
            return redone(self._emitter, node, self.at_cells)
        if node is not None and is_pointwise(node):
            return self._product(self.at_cells(input_of(node)), node)
        reach = _same_reach(node)
        if node is not None and reach is not None:
            kernels = op("Transpose", op("Flatten", input_of(node, 1), axis=1), perm=[1, 0])  # [k², C]
            products = op("Mul", self.in_windows(input_of(node), reach), kernels)
            total = op("ReduceSum", products, self._emitter.int64(1), keepdims=0)
            return op("Add", total, node.inputs[2]) if len(node.inputs) > 2 else total
        flat = op("Flatten", op("Squeeze", maps, self._emitter.int64(0)), axis=1)
        return op("Transpose", op("Gather", flat, self._windows.cell, axis=1), perm=[1, 0])

    def _in_windows(self, maps: ir.Value, reach: int) -> ir.Value:
        """Windows that hold anything outside of the map."""
        key = maps, reach
        if key not in self._unbounded:
            node = maps.producer()
            if node is not None and is_elementwise(node):
                found = redone(self._emitter, node, lambda value: self._in_windows(value, reach))
            else:
                cells, _ = self._windows.cells(reach)
                found = self._emitter.op("Gather", self._in_rows(maps), cells, axis=0)
            self._unbounded[key] = found
        return self._unbounded[key]

    def _in_rows(self, maps: ir.Value) -> ir.Value:
        """All cells of a map, channels last: [h w, C]."""
        if maps not in self._rows:
            op, node = self._emitter.op, maps.producer()
            if node is not None and is_pointwise(node):
                found = self._product(self._in_rows(input_of(node)), node)
            elif node is not None and is_elementwise(node):
                found = redone(self._emitter, node, self._in_rows)
            else:
                flat = op("Flatten", op("Squeeze", maps, self._emitter.int64(0)), axis=1)
                found = op("Transpose", flat, perm=[1, 0])
            self._rows[maps] = found
        return self._rows[maps]

    def _product(self, cells: ir.Value, node: ir.Node) -> ir.Value:
        """A 1×1 convolution of what was read."""
        W = self._emitter.op("Flatten", input_of(node, 1), axis=1)
        return self._emitter.op("Gemm", cells, W, *node.inputs[2:], transB=1)


def _same_reach(node: ir.Node | None) -> int | None:
    """How many neighbours to each side a depthwise convolution looks at that keeps the size of maps."""
    shape = weight_shape(node) if node is not None and is_depthwise(node) and is_dense(node) else None
    if node is None or shape is None or len(set(shape[2:])) != 1:
        return None
    side, pads = shape[2], set(attributes_of(node).get("pads") or (0,))
    return side // 2 if side % 2 == 1 and 1 < side <= LARGEST and pads == {side // 2} else None
