"""The last step of a walk, phase by phase.

A depthwise convolution of stride s looks at s² interleaved maps, its input's phases, each by a kernel of its
own with stride 1. Where a walk ends below such a layer, neither the transposed convolution nor its product
with the evidence is needed at full size: each phase is made and added up over channels, and only what comes
out is interleaved. What the evidence follows from cell by cell is narrower, and taken apart in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from prm_export.emit import UNSETTLED, Emitter, attributes_of, constant_of, input_of
from prm_export.passes.cellwise import is_depthwise, is_elementwise, is_pointwise, redone, weight_shape
from prm_export.passes.state_shapes import Dims, dims_of, state
from prm_export.reverse_path import ReversePath
from prm_export.rules.base import Carried, ReverseGraph

PHASE = "Phase"
"""Unsettled node: every s-th cell of maps, from a row and column on."""


@dataclass(frozen=True)
class Taps:
    """What a kernel reads of every s-th row (or column) of its input.

    Attributes:
        first: The first such row.
        start: The first of the kernel's rows that reads one; every s-th one from there on does.
        before: How many of them it reads before the one that an output lies on.
        after: How many after it.
    """

    first: int
    start: int
    before: int
    after: int


Phase = tuple[Taps, Taps]


def phases_of(node: ir.Node) -> list[Phase] | None:
    """The phases of a depthwise convolution of stride s, row by row; None if it is no such layer."""
    shape = weight_shape(node) if is_depthwise(node) else None
    attributes = attributes_of(node)
    strides = set(attributes.get("strides") or ())
    dilated = any(n != 1 for n in attributes.get("dilations") or ())
    padded = attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    if shape is None or len(strides) != 1 or strides == {1} or dilated or padded:
        return None
    stride = strides.pop()
    pads = attributes.get("pads") or (0, 0, 0, 0)
    rows, columns = (list(_taps(side, stride, pad)) for side, pad in zip(shape[2:], pads[:2], strict=True))
    if min(shape[2:]) < stride or any(taps.after < 0 for taps in rows + columns):
        return None
    return [(row, column) for row in rows for column in columns]


def _taps(side: int, stride: int, pad: int) -> Iterator[Taps]:
    for first in range(stride):
        start = (first + pad) % stride
        last = start + (side - 1 - start) // stride * stride
        yield Taps(first, start, (pad + first - start) // stride, (last - pad - first) // stride)


def last_phases(path: ReversePath) -> list[Phase] | None:
    """The phases of the layer that the walk ends below, if it can end in phases."""
    last = path.nodes[-1] if path.nodes else None
    if last is None or input_of(last) is not path.stop:
        return None
    if sum(path.stop in node.inputs for node in path.nodes) != 1:
        return None
    found, U, V = phases_of(last), path.shape(path.stop), path.shape(last.outputs[0])
    strides = attributes_of(last).get("strides") or (1, 1)
    all_alike = U[2:] == tuple(stride * side for stride, side in zip(strides, V[2:], strict=True))
    return found if all_alike else None


def probability_in_phases(
    reverse: ReverseGraph, node: ir.Node, G: Carried, evidence: ir.Value, phases: list[Phase]
) -> ir.Value:
    """Σ_c U⁺ · G below the last layer of a walk: float32 [P, 1, h, w].

    Args:
        reverse: Where to emit.
        node: The layer.
        G: What it was handed, times its gain.
        evidence: U⁺, float32 [1, C, h, w].
        phases: Of the layer.
    """
    W = np.maximum(constant_of(node, 1), 0)
    stride = attributes_of(node)["strides"][0]
    maps = reverse.spread(G)
    sides = reverse.path.declared(node.outputs[0])[2:]
    ones = reverse.constant(np.ones((1, len(W), 1, 1)))  # adds channels up in the layout they have
    parts = []
    for row, column in phases:
        kernel = W[:, :, row.start :: stride, column.start :: stride][:, :, ::-1, ::-1]
        pads = (row.after, column.after, row.before, column.before)
        part = reverse.op("Conv", maps, reverse.weight(kernel), pads=pads, group=len(W))
        there = reverse.unsettled(PHASE, evidence, row=row.first, column=column.first, stride=stride)
        state(there, (1, len(W), *sides))
        parts.append(reverse.op("Conv", reverse.op("Mul", part, there), ones))
    return reverse.op("DepthToSpace", reverse.op("Concat", *parts, axis=1), blocksize=stride)


def compute_in_phases(reverse: ir.Model) -> ir.Model:
    """Settle how phases of the evidence are computed, and have its normaliser take them too."""
    wanted = [node for node in reverse.graph if (node.domain, node.op_type) == (UNSETTLED, PHASE)]
    if not wanted:
        return reverse
    evidence = input_of(wanted[0])
    while (producer := evidence.producer()) is not None and producer.op_type == "Identity":
        evidence = input_of(producer)
    parts = _Parts(attributes_of(wanted[0])["stride"], dims_of(wanted[0].outputs[0]))
    for node in wanted:
        where = attributes_of(node)
        ir.convenience.replace_all_uses_with(
            node.outputs[0], parts.of(evidence, where["row"], where["column"])
        )
    for node in [node for node in evidence.consumers() if node.op_type == "Conv"]:
        phases = phases_of(node)
        if phases is not None and attributes_of(node)["strides"][0] == parts.stride:
            emitter = Emitter()
            total = _convolved(emitter, node, phases, parts)
            reverse.graph.insert_before(node, emitter.nodes)
            ir.convenience.replace_all_uses_with(node.outputs[0], total)
    reverse.graph.insert_before(evidence.producer() or reverse.graph[0], parts.emitter.nodes)
    reverse.graph.remove(wanted, safe=True)
    return reverse


class _Parts:
    """Emits phases of maps [1, C, h, w]."""

    def __init__(self, stride: int, dims: Dims | None) -> None:
        self.emitter, self.stride = Emitter(), stride
        self._sides = () if dims is None else dims[2:]
        self._found: dict[tuple[ir.Value, int, int], ir.Value] = {}

    def of(self, maps: ir.Value, row: int, column: int) -> ir.Value:
        """The phase that begins at this row and column, [1, C, h / s, w / s]."""
        key = maps, row, column
        if key not in self._found:
            self._found[key] = self._of(maps, row, column)
        return self._found[key]

    def _of(self, maps: ir.Value, row: int, column: int) -> ir.Value:
        node, int64 = maps.producer(), self.emitter.int64
        if node is not None and is_elementwise(node):
            return redone(self.emitter, node, lambda value: self.of(value, row, column))
        if node is not None and is_pointwise(node):
            return self.emitter.op("Conv", self.of(input_of(node), row, column), *node.inputs[1:])
        end = int64(*[np.iinfo(np.int64).max] * 2)
        part = self.emitter.op(
            "Slice", maps, int64(row, column), end, int64(2, 3), int64(self.stride, self.stride)
        )
        if self._sides and (dims := dims_of(maps)) is not None:
            state(part, (*dims[:2], *self._sides))
        return part


def _convolved(emitter: Emitter, node: ir.Node, phases: list[Phase], parts: _Parts) -> ir.Value:
    """A depthwise convolution of stride s as the sum of those of its input's phases."""
    U, W, bias = input_of(node), input_of(node, 1), node.inputs[2:]
    end, axes = emitter.int64(*[np.iinfo(np.int64).max] * 2), emitter.int64(2, 3)
    steps = emitter.int64(parts.stride, parts.stride)
    sums: list[ir.Value] = []
    for row, column in phases:
        kernel = emitter.op("Slice", W, emitter.int64(row.start, column.start), end, axes, steps)
        pads = (row.before, column.before, row.after, column.after)
        part = parts.of(U, row.first, column.first)
        group = attributes_of(node)["group"]
        sums.append(emitter.op("Conv", part, kernel, *(() if sums else bias), pads=pads, group=group))
    return emitter.op("Sum", *sums)
