"""Gain maps: what peak back-propagation needs of the forward pass, computed once per frame for all peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import node_name
from prm_export.errors import ExportError
from prm_export.reverse_path import ReversePath
from prm_export.rules import PAPER
from prm_export.rules.base import ForwardGraph, Rules
from prm_export.rules.coverage import no_rule_message, without_rule
from prm_export.walks import gate_of


@dataclass(frozen=True)
class Gains:
    """The forward graph's outputs for the reverse graph.

    Attributes:
        layers: R of each layer that has one, [1, C, h, w], float32 if its rule does not say otherwise.
        stop: What G is multiplied by where the reverse pass ends, float32 [1, C, h, w]: U⁺, or a 1 where P
            itself is carried.
        grid: Height and width of the class response maps, int64 [2].
        split: U⁺ where the peaks' ways join, float32 [1, C, h, w]; None where each goes its own.
        rules: The rules that they belong to.
    """

    layers: dict[ir.Node, ir.Value]
    stop: ir.Value
    grid: ir.Value
    split: ir.Value | None = None
    rules: Rules = PAPER

    @property
    def values(self) -> list[ir.Value]:
        """All of them, in the order of the outputs."""
        split = [] if self.split is None else [self.split]
        return [self.grid, self.stop, *split, *self.layers.values()]


def check_rules(path: ReversePath, rules: Rules = PAPER) -> None:
    """Check that every layer has a rule.

    Raises:
        ExportError: If any has none, naming them all.
    """
    missing = without_rule(path.nodes, rules)
    if missing:
        raise ExportError(no_rule_message(missing, rules))


def add_gains(
    model: ir.Model,
    M: ir.Value,
    path: ReversePath,
    image_minimum: NDArray[np.float32],
    rules: Rules = PAPER,
) -> Gains:
    """Add the gain maps as outputs ``gain_*``.

    Args:
        model: The classifier; extended in place.
        M: Its class response maps.
        path: The layers to propagate through.
        image_minimum: Smallest possible value per channel of the normalised image, float32 [3].
        rules: How each operator is passed.

    Raises:
        ExportError: If a layer has no rule, or its rule does not cover what the layer does; names them all.
    """
    check_rules(path, rules)
    forward = ForwardGraph(model, path, image_minimum)
    grid = _output(forward.sides(M), "gain_grid", ir.DataType.INT64, (2,))
    split = None
    if rules.carries_gain:
        stop = forward.op("Identity", forward.positive(path.stop))
        _output(stop, "gain_stop", ir.DataType.FLOAT, path.declared(path.stop))
        if path.split is not None:
            split = forward.op("Identity", forward.positive(path.split))
            _output(split, "gain_split", ir.DataType.FLOAT, path.declared(path.split))
    else:
        stop = _output(forward.constant(np.ones((1, 1, 1, 1))), "gain_stop", ir.DataType.FLOAT, (1, 1, 1, 1))
    layers: dict[ir.Node, ir.Value] = {}
    mistakes = []
    for node in path.nodes:
        try:
            R = rules.operators[node.op_type].gain(forward, node)
        except ExportError as error:
            mistakes.append(str(error))
            continue
        if R is None and rules.carries_gain and model.graph.inputs[0] in node.inputs:
            mistakes.append(
                f"{node_name(node)} hands on the image as it is, where black is not zero: "
                "use --stop-stride 2 or larger"
            )
        elif R is not None:
            shape = path.declared(gate_of(node) or node.outputs[0])
            layers[node] = _output(R, f"gain_{len(layers):03d}", R.dtype or ir.DataType.FLOAT, shape)
    if mistakes:
        raise ExportError("; ".join(mistakes))
    gains = Gains(layers, stop, grid, split, rules)
    model.graph.outputs.extend(gains.values)
    return gains


def _output(value: ir.Value, name: str, dtype: ir.DataType, shape: tuple[int | str, ...]) -> ir.Value:
    value.name, value.dtype, value.shape = name, dtype, ir.Shape(shape)
    return value
