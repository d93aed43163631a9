"""What rules work with: the forward graph, the reverse graph and what it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import Emitter, array_of, input_of
from prm_export.reverse_path import ReversePath
from prm_export.rules.peak_windows import PeakWindows
from prm_export.walks import activation_of

EPSILON = 1e-6
"""Added to every normaliser; activations are of the order of 1."""
AT_CELLS, IN_WINDOWS = "AtCells", "InWindows"
"""Unsettled nodes: maps at the peaks' own cells, and in windows around them."""
WITH_OWN_GAIN = {"Add", "AveragePool", "Conv", "ConvTranspose", "MaxPool", "Resize"}
"""Layers whose gain has V⁺ in its numerator, and so can take the activation's output instead."""


class ForwardGraph(Emitter):
    """The classifier's own graph, which gains are appended to.

    Args:
        model: The classifier.
        path: The part of it that is back-propagated through.
        image_minimum: Smallest possible value of each channel of the normalised image, float32 [3].
    """

    def __init__(self, model: ir.Model, path: ReversePath, image_minimum: NDArray[np.float32]) -> None:
        super().__init__(model.graph)
        self.path = path
        self._image = model.graph.inputs[0]
        self._image_minimum = image_minimum
        self._positive: dict[ir.Value, ir.Value] = {}
        self._above_minimum: dict[ir.Value, ir.Value] = {}

    def positive(self, U: ir.Value) -> ir.Value:
        """U⁺: the evidence in a value, never negative (weights as well as activations).

        For the image that is x - min possible x, as zero is no darkest colour there.
        """
        if is_nonnegative(U):
            return U
        if U not in self._positive:
            if U is self._image:
                self._positive[U] = self.op("Sub", U, self.constant(self._image_minimum.reshape(1, -1, 1, 1)))
            else:
                self._positive[U] = self.op("Relu", U)
        return self._positive[U]

    def above_minimum(self, U: ir.Value) -> ir.Value:
        """U - min U: what the published code takes for evidence."""
        if U not in self._above_minimum:
            self._above_minimum[U] = self.op("Sub", U, self.op("ReduceMin", U, keepdims=1))
        return self._above_minimum[U]

    def activated(self, V: ir.Value) -> ir.Value:
        """V⁺ after the activation that V alone feeds: P is the same on either side of it."""
        activated = fused_activation(V)
        return self.positive(V if activated is None else activated)

    def ratio(self, numerator: ir.Value, normaliser: ir.Value) -> ir.Value:
        """Numerator / (normaliser + ε)."""
        return self.op("Div", numerator, self.op("Add", normaliser, self.constant(EPSILON)))


@dataclass(frozen=True)
class Carried:
    """G at one value, for every peak.

    Attributes:
        value: [P, C] at the peaks' own cells while only 1×1 layers were passed (``pointwise``), else
            [P, C, h, w].
        pointwise: Whether it is nonzero at the peaks' own cells alone.
        reach: Where it is nonzero only so many cells around the peaks, the value is the window
            [P, k², C], k = 2 reach + 1.
    """

    value: ir.Value
    pointwise: bool
    reach: int | None = None


class ReverseGraph(Emitter):
    """The reverse graph while it is built: peaks and gains in, Peak Response Maps out.

    Args:
        path: The layers it propagates through.
        peaks: Its input ``peaks``, int64 [P, 3].
        grid: Its input that holds the class maps' height and width, int64 [2].
    """

    def __init__(self, path: ReversePath, peaks: ir.Value, grid: ir.Value) -> None:
        super().__init__()
        self.path = path
        self._grid = grid
        self.windows = PeakWindows(self, peaks, grid)

    def weight(self, W: NDArray[np.float32]) -> ir.Value:
        """Emit a weight, stored as float16 where that is how the classifier stores its own."""
        if not np.array_equal(W.astype(np.float16).astype(np.float32), W):
            return self.constant(W)
        return self.op("Cast", self.constant(W, np.float16), to=ir.DataType.FLOAT)

    def scale(self, G: Carried, gain: ir.Value) -> Carried:
        """G · R."""
        if near_peaks(G):
            one_cell = gain.shape is not None and gain.shape[2:] == (1, 1)
            gain = self.op("Flatten", gain, axis=1) if one_cell else self.around_peaks(gain, G.reach)
        return replace(G, value=self.op("Mul", G.value, gain))

    def around_peaks(self, maps: ir.Value, reach: int | None) -> ir.Value:
        """What maps [1, C, h, w] hold around peaks; :mod:`~prm_export.passes.at_peaks` settles how.

        Returns:
            [P, C], at the peaks' own cells, or with a ``reach`` windows [P, k², C], 0 outside of the map.
        """
        if reach is None:
            return self.unsettled(AT_CELLS, maps)
        return self.unsettled(IN_WINDOWS, maps, reach=reach)

    def spread(self, G: Carried) -> ir.Value:
        """G as maps [P, C, h, w]."""
        if G.reach is not None:
            return self.windows.spread(G.value, G.reach)
        if not G.pointwise:
            return G.value
        cells = self.op("Reshape", self.op("ReduceProd", self._grid, keepdims=0), self.int64(1))
        zero, one = self.constant(0, np.int64), self.constant(1, np.int64)
        indices = self.op("Range", zero, self.op("Squeeze", cells), one)
        here = self.op("Equal", self.op("Unsqueeze", self.windows.cell, self.int64(1)), indices)
        here = self.op("Unsqueeze", self.op("Cast", here, to=ir.DataType.FLOAT), self.int64(1))
        flat = self.op("Mul", self.op("Unsqueeze", G.value, self.int64(2)), here)
        return self.op("Reshape", flat, self.op("Concat", self.int64(0, 0), self._grid, axis=0))

    def window(self, G: Carried, reach: int) -> ir.Value:
        """G as windows [P, k², C], k = 2 reach + 1, that are no smaller than those it has."""
        value = self.op("Unsqueeze", G.value, self.int64(1)) if G.pointwise else G.value
        return self.windows.widen(value, G.reach or 0, reach - (G.reach or 0))

    def sum(self, parts: Sequence[Carried]) -> Carried:
        """The sum of what several consumers of one value pass down."""
        if len(parts) == 1:
            return parts[0]
        if any(part.reach is not None for part in parts) and all(map(near_peaks, parts)):
            reach = max(part.reach or 0 for part in parts)
            return Carried(self.op("Sum", *(self.window(part, reach) for part in parts)), False, reach)
        pointwise = all(part.pointwise for part in parts)
        values = [part.value if pointwise else self.spread(part) for part in parts]
        return Carried(self.op("Sum", *values), pointwise)


def near_peaks(G: Carried) -> bool:
    """Whether G is known to be zero away from the peaks."""
    return G.pointwise or G.reach is not None


def scaled(reverse: ReverseGraph, _node: ir.Node, G: Carried, gain: ir.Value) -> Carried:
    """G · R, as most rules weigh what they are given."""
    return reverse.scale(G, gain)


@dataclass(frozen=True)
class Rule:
    """How peak back-propagation passes one operator.

    Attributes:
        gain: Emits R for a node, or returns None where R = 1. Raises ExportError if the node is of a kind
            that the rule does not cover.
        propagate: Emits G for each input of a node, from G_V · R; None for inputs that carry none.
        weigh: Emits G_V · R where there is an R.
    """

    gain: Callable[[ForwardGraph, ir.Node], ir.Value | None]
    propagate: Callable[[ReverseGraph, ir.Node, Carried], Sequence[Carried | None]]
    weigh: Callable[[ReverseGraph, ir.Node, Carried, ir.Value], Carried] = scaled


@dataclass(frozen=True)
class Rules:
    """One way of peak back-propagation.

    Attributes:
        name: What users call it.
        operators: The rule of each operator that has one.
        carries_gain: Whether G = P / U⁺ is carried, so that the evidence at the stop has to be multiplied by;
            else P itself, which may become negative and is cut off at 0 in the end.
        folds: Whether a batch norm or padding is one layer with its convolution.
        prepare: What is done to the classifier, in place, before its gains are emitted.
    """

    name: str
    operators: Mapping[str, Rule]
    carries_gain: bool
    folds: bool
    prepare: Callable[[ir.Model, ReversePath], ReversePath] | None = None


def no_gain(_forward: ForwardGraph, _node: ir.Node) -> None:
    """The gain of an operator that hands G on as it is."""


def hand_on(_reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    """The propagation of an operator whose first input gets G as it is."""
    return [G] + [None] * (len(node.inputs) - 1)


def fused_activation(V: ir.Value) -> ir.Value | None:
    """What comes out of the activation that V alone feeds, if the gain of V's layer can take it up."""
    producer = V.producer()
    return activation_of(V) if producer is not None and producer.op_type in WITH_OWN_GAIN else None


def is_nonnegative(value: ir.Value) -> bool:
    """Whether a value cannot be negative, judged by the operators that made it."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type in {"Relu", "Sigmoid", "HardSigmoid", "Softmax"}:
        return True
    if node.op_type == "Clip":
        low = array_of(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
        return low is not None and bool(low >= 0)
    if node.op_type in {"MaxPool", "AveragePool", "Pad", "Identity", "Dropout", "Slice", "Gather"}:
        return is_nonnegative(input_of(node))
    return node.op_type in {"Concat", "Add"} and all(is_nonnegative(v) for v in node.inputs if v is not None)
