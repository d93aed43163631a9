"""The second graph: peaks and gain maps in, Peak Response Maps out (Sec. 3.3)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx_ir as ir

from prm_export.emit import constant_of, input_of, make_model
from prm_export.passes.gains import Gains
from prm_export.reverse_path import ReversePath
from prm_export.rules.base import Carried, ReverseGraph

SMALLEST_MASS = 1e-30


def build_backprop(path: ReversePath, gains: Gains) -> ir.Model:
    """Build the reverse graph.

    Its inputs are ``peaks``, int64 [P, 3] of (class, row, column) without padding rows, and the gains by
    their names; its output ``prms``, float32 [P, h, w] at the stop's stride, is never negative and sums to 1
    per peak (to 0 where no evidence reaches the stop).

    The walk starts with probability 1 at a peak. What its top layer would divide by is one number per peak,
    which the final normalisation cancels, so the seed is the class's row of W⁺. While only 1×1 layers were
    passed, G lives at the peak's own cell and is carried as a vector.
    """
    peaks = ir.val("peaks", ir.DataType.INT64, ("peaks", 3))
    received = {value: ir.val(value.name or "", value.dtype, value.shape) for value in gains.values}
    reverse = ReverseGraph(path, peaks, received[gains.grid])
    W = np.maximum(constant_of(path.top, 1)[:, :, 0, 0], 0)
    seed = reverse.op("Gather", reverse.weight(W), reverse.class_id)
    carried: defaultdict[ir.Value | None, list[Carried]] = defaultdict(list)
    carried[input_of(path.top)].append(Carried(seed, pointwise=True))
    for node in path.nodes:
        rule = gains.rules.operators[node.op_type]
        G = reverse.sum(carried.pop(node.outputs[0]))
        if node in gains.layers:
            G = rule.weigh(reverse, node, G, received[gains.layers[node]])
        for value, part in zip(node.inputs, rule.propagate(reverse, node, G), strict=True):
            if part is not None:
                carried[value].append(part)
    G_stop = reverse.spread(reverse.sum(carried[path.stop]))
    prms = _response_maps(reverse, G_stop, received[gains.stop], gains.rules.carries_gain)
    prms.name, prms.dtype = "prms", ir.DataType.FLOAT
    prms.shape = ir.Shape(("peaks", *path.symbolic_sides(*path.shape(path.stop)[2:])))
    return make_model([peaks, *received.values()], [prms], reverse.nodes, "prm_backprop")


def _response_maps(reverse: ReverseGraph, G: ir.Value, evidence: ir.Value, carries_gain: bool) -> ir.Value:
    P = reverse.op("ReduceSum", reverse.op("Mul", G, evidence), reverse.int64(1), keepdims=0)
    if not carries_gain:
        P = reverse.op("Relu", P)
    mass = reverse.op("ReduceSum", P, reverse.int64(1, 2), keepdims=1)
    return reverse.op("Div", P, reverse.op("Max", mass, reverse.constant(SMALLEST_MASS)))
