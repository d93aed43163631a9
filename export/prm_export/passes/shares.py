"""Share splitting: the fine layers are walked once for all peaks together, and what comes out is split.

Gains are the same for all peaks, so the walk is linear in its seed. The P peaks are walked apart only down to
the split, where maps are small and each peak's probability is brought to mass 1; their sum goes on as one.
Where a cell of the fine map lies under several peaks, each gets its share of the coarse maps there:

    PRM_n = fine · up(coarse_n) / Σ_m up(coarse_m),   then of sum 1

with bilinear ``up``; where no coarse map reaches, all share alike. One peak alone gets its exact map. Walks
that join early would spread on; coarse maps are spread by as much before they are compared
(:mod:`prm_export.share_kernels`).
"""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from prm_export.passes.state_shapes import dims_of, state
from prm_export.rules.base import Carried, ReverseGraph
from prm_export.share_kernels import GROUPED_VALUE, SPREAD_VALUE, ShareKernels

SMALLEST_MASS = 1e-30


def visiting_probability(reverse: ReverseGraph, G: Carried, evidence: ir.Value) -> ir.Value:
    """Σ_c U⁺ · G: probability per cell, float32 [P, 1, h, w]."""
    return _of_cells(reverse, _of_channels(reverse, G, evidence))


def _of_channels(reverse: ReverseGraph, G: Carried, evidence: ir.Value) -> Carried:
    """U⁺ · G: probability per cell and channel."""
    if G.reach is not None:
        there = reverse.around_peaks(evidence, G.reach)
        return replace(G, value=reverse.op("Mul", G.value, there))
    return Carried(reverse.op("Mul", reverse.spread(G), evidence), pointwise=False)


def _of_cells(reverse: ReverseGraph, P: Carried) -> ir.Value:
    if P.reach is not None:
        windows = reverse.op("ReduceSum", P.value, reverse.int64(2), keepdims=1)
        return reverse.windows.spread(windows, P.reach)
    return reverse.op("ReduceSum", P.value, reverse.int64(1), keepdims=1)


def join(
    reverse: ReverseGraph, G: Carried, evidence: ir.Value, kernels: ShareKernels
) -> tuple[Carried, ir.Value]:
    """Bring each peak to mass 1 and add them up.

    Args:
        reverse: Where to emit.
        G: At the split, for every peak.
        evidence: U⁺ there, float32 [1, C, h, w].
        kernels: How the peaks' probability would spread on.

    Returns:
        G of all peaks together, [1, C, h, w], and the coarse maps after that spread, float32 [P, 1, h, w],
        nowhere quite 0 (all 0 where a peak has no evidence).
    """
    by_channel = _of_channels(reverse, G, evidence)
    P = _of_cells(reverse, by_channel)
    mass = reverse.op("ReduceSum", P, reverse.int64(2, 3), keepdims=1)
    # a peak without evidence has G but no P, and must not drown the others
    there = reverse.op("Greater", mass, reverse.constant(SMALLEST_MASS))
    inverse = reverse.op("Where", there, reverse.op("Reciprocal", mass), reverse.constant(0.0))
    if G.reach is not None:
        scaled = reverse.op("Mul", G.value, reverse.op("Squeeze", inverse, reverse.int64(3)))
        together = reverse.windows.add_up(scaled, G.reach)
    else:
        scaled = reverse.op("Mul", reverse.spread(G), inverse)
        together = reverse.op("ReduceSum", scaled, reverse.int64(0), keepdims=1)
    state(together, dims_of(evidence))
    least = reverse.op("Where", there, reverse.constant(SMALLEST_MASS), reverse.constant(0.0))
    coarse = reverse.op("Mul", _spread(reverse, by_channel, P, kernels), inverse)
    return Carried(together, pointwise=False), reverse.op("Add", coarse, least)


def _spread(reverse: ReverseGraph, by_channel: Carried, P: ir.Value, kernels: ShareKernels) -> ir.Value:
    """P [P, 1, h, w] after the spread that the kernels describe."""
    maps = P
    if kernels.mix is not None and by_channel.reach is not None:
        groups = reverse.op("MatMul", by_channel.value, reverse.constant(kernels.mix))
        groups.name = GROUPED_VALUE
        maps = reverse.windows.spread(groups, by_channel.reach)
    elif kernels.mix is not None:
        maps = reverse.op("Conv", by_channel.value, reverse.constant(kernels.mix.T[:, :, None, None]))
        maps.name = GROUPED_VALUE
    for n, kernel in enumerate(kernels.kernels):
        rows, columns = (side // 2 for side in kernel.shape[2:])
        maps = reverse.op("Conv", maps, reverse.constant(kernel), pads=[rows, columns, rows, columns])
        maps.name = f"{SPREAD_VALUE}{n}"
    return maps


def shares(reverse: ReverseGraph, coarse: ir.Value, fine: ir.Value) -> ir.Value:
    """Each peak's share of each cell of the fine map, float32 [P, 1, h, w], of sum 1 over peaks or 0.

    Args:
        reverse: Where to emit.
        coarse: From :func:`join`.
        fine: P at the stop, float32 [1, 1, h, w].
    """
    peaks = reverse.op("Shape", coarse, end=2)
    size = reverse.op("Concat", peaks, reverse.op("Shape", fine, start=2), axis=0)
    up = reverse.op("Resize", coarse, None, None, size, mode="linear")
    total = reverse.op("ReduceSum", up, reverse.int64(0), keepdims=1)
    return reverse.op("Div", up, reverse.op("Max", total, reverse.constant(SMALLEST_MASS)))
