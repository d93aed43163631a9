"""Share splitting: the fine layers are walked once for all peaks together, and what comes out is split.

Gains are the same for all peaks, so the walk is linear in its seed. The P peaks are walked apart only down to
the split, where maps are small and each peak's probability is brought to mass 1; their sum goes on as one.
Where a cell of the fine map lies under several peaks, each gets its share of the coarse maps there:

    PRM_n = fine · up(coarse_n) / Σ_m up(coarse_m),   then of sum 1

with bilinear ``up``; where no coarse map reaches, all share alike. One peak alone gets its exact map. Walks
that join early would spread on; a Gaussian widens coarse maps by as much before they are compared.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.passes.state_shapes import dims_of, state
from prm_export.rules.base import Carried, ReverseGraph

SMALLEST_MASS = 1e-30
DEVIATIONS = 8
"""Standard deviations out to which a Gaussian in two dimensions is larger than the smallest mass."""


def visiting_probability(reverse: ReverseGraph, G: Carried, evidence: ir.Value) -> ir.Value:
    """Σ_c U⁺ · G: probability per cell, float32 [P, 1, h, w]."""
    if G.reach is not None:
        product = reverse.op("Mul", G.value, reverse.around_peaks(evidence, G.reach))
        windows = reverse.op("ReduceSum", product, reverse.int64(2), keepdims=1)
        return reverse.windows.spread(windows, G.reach)
    product = reverse.op("Mul", reverse.spread(G), evidence)
    return reverse.op("ReduceSum", product, reverse.int64(1), keepdims=1)


def join(reverse: ReverseGraph, G: Carried, evidence: ir.Value) -> tuple[Carried, ir.Value]:
    """Bring each peak to mass 1 and add them up.

    Args:
        reverse: Where to emit.
        G: At the split, for every peak.
        evidence: U⁺ there, float32 [1, C, h, w].

    Returns:
        G of all peaks together, [1, C, h, w], and the coarse maps, float32 [P, 1, h, w], each of sum 1 and
        nowhere quite 0 (all 0 where a peak has no evidence).
    """
    P = visiting_probability(reverse, G, evidence)
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
    return Carried(together, pointwise=False), reverse.op("Add", reverse.op("Mul", P, inverse), least)


def gaussian(spread: float) -> NDArray[np.float64]:
    """Weights of a Gaussian of this standard deviation in cells, of sum 1: float64 [2 k + 1]."""
    reach = int(np.ceil(DEVIATIONS * spread))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * spread**2))
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def widen(reverse: ReverseGraph, coarse: ir.Value, spread: float) -> ir.Value:
    """Coarse maps [P, 1, h, w] under a Gaussian of this standard deviation in cells; 0 leaves them."""
    if not spread:
        return coarse
    weights = gaussian(spread)
    reach = len(weights) // 2
    column = reverse.constant(weights.reshape(1, 1, -1, 1))
    row = reverse.constant(weights.reshape(1, 1, 1, -1))
    coarse = reverse.op("Conv", coarse, column, pads=[reach, 0, reach, 0])
    return reverse.op("Conv", coarse, row, pads=[0, reach, 0, reach])


def shares(reverse: ReverseGraph, coarse: ir.Value, fine: ir.Value) -> ir.Value:
    """Each peak's share of each cell of the fine map, float32 [P, 1, h, w], of sum 1 over peaks or 0.

    Args:
        reverse: Where to emit.
        coarse: From :func:`join`, widened.
        fine: P at the stop, float32 [1, 1, h, w].
    """
    peaks = reverse.op("Shape", coarse, end=2)
    size = reverse.op("Concat", peaks, reverse.op("Shape", fine, start=2), axis=0)
    up = reverse.op("Resize", coarse, None, None, size, mode="linear")
    total = reverse.op("ReduceSum", up, reverse.int64(0), keepdims=1)
    return reverse.op("Div", up, reverse.op("Max", total, reverse.constant(SMALLEST_MASS)))
