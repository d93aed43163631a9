"""The second graph: peaks and gain maps in, Peak Response Maps out (Sec. 3.3)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx_ir as ir

from prm_export.emit import constant_of, input_of, make_model
from prm_export.passes.gains import Gains
from prm_export.passes.phases import last_phases, probability_in_phases
from prm_export.passes.shares import SMALLEST_MASS, join, shares, visiting_probability
from prm_export.reverse_path import ReversePath
from prm_export.rules.base import Carried, ReverseGraph
from prm_export.walks import ACTIVATIONS

KEEP_WINDOWS = {"Add", "Conv", "Dropout", "Identity", "Mul"} | ACTIVATIONS
"""Operators whose rules take G as windows around peaks; others are given whole maps."""


def build_backprop(path: ReversePath, gains: Gains, in_phases: bool = False) -> ir.Model:
    """Build the reverse graph.

    Its inputs are ``peaks``, int64 [P, 3] of (class, row, column) without padding rows, and the gains by
    their names; its output ``prms``, float32 [P, h, w] at the stop's stride, is never negative and sums to 1
    per peak (to 0 where no evidence reaches the stop, and for class -1).

    The walk starts with probability 1 at a peak. What its top layer would divide by is one number per peak,
    which the final normalisation cancels, so the seed is the class's row of W⁺. While only 1×1 layers were
    passed, G lives at the peak's own cell and is carried as a vector.

    With ``in_phases`` the last layer's part is left to be settled by
    :func:`~prm_export.passes.phases.compute_in_phases`, where that layer is of a kind that has phases.

    With a split, the peaks' ways join there (:mod:`prm_export.passes.shares`): all below runs once.
    """
    peaks = ir.val("peaks", ir.DataType.INT64, ("peaks", 3))
    received = {value: _received(value) for value in gains.values}
    reverse = ReverseGraph(path, peaks, received[gains.grid])
    W = np.maximum(constant_of(path.top, 1)[:, :, 0, 0], 0)
    W = np.pad(W, ((0, 1), (0, 0)))  # class -1, that of a padding row, starts with nothing
    seed = reverse.op("Gather", reverse.weight(W), reverse.windows.class_id)
    carried: defaultdict[ir.Value | None, list[Carried]] = defaultdict(list)
    carried[input_of(path.top)].append(Carried(seed, pointwise=True))
    coarse = P = None
    phases = last_phases(path) if in_phases else None
    for node in path.nodes:
        rule = gains.rules.operators[node.op_type]
        G = reverse.sum(carried.pop(node.outputs[0]))
        if gains.split is not None and node.outputs[0] is path.split:
            G, coarse = join(reverse, G, received[gains.split], path.spread)
        if G.reach is not None and node.op_type not in KEEP_WINDOWS:
            G = Carried(reverse.spread(G), pointwise=False)
        if node in gains.layers:
            G = rule.weigh(reverse, node, G, received[gains.layers[node]])
        if phases is not None and node is path.nodes[-1]:
            P = probability_in_phases(reverse, node, G, received[gains.stop], phases)
            continue
        for value, part in zip(node.inputs, rule.propagate(reverse, node, G), strict=True):
            if part is not None:
                carried[value].append(part)
    if P is None:
        P = visiting_probability(reverse, reverse.sum(carried[path.stop]), received[gains.stop])
    if not gains.rules.carries_gain:
        P = reverse.op("Relu", P)
    if coarse is not None:
        P = reverse.op("Mul", P, shares(reverse, coarse, P))
    prms = _of_sum_one(reverse, reverse.op("Squeeze", P, reverse.int64(1)))
    prms.name, prms.dtype = "prms", ir.DataType.FLOAT
    prms.shape = ir.Shape(("peaks", *path.declared(path.stop)[2:]))
    return make_model([peaks, *received.values()], [prms], reverse.nodes, "prm_backprop")


def _received(gain: ir.Value) -> ir.Value:
    """The input for a gain: that of one image, whatever number of them goes forward at once."""
    shape = gain.shape
    one = shape if shape is None or len(shape) != 4 else ir.Shape((1, *shape[1:]))
    return ir.val(gain.name or "", gain.dtype, one)


def _of_sum_one(reverse: ReverseGraph, P: ir.Value) -> ir.Value:
    mass = reverse.op("ReduceSum", P, reverse.int64(1, 2), keepdims=1)
    return reverse.op("Div", P, reverse.op("Max", mass, reverse.constant(SMALLEST_MASS)))
