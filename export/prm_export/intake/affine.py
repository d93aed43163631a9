"""Scales and offsets per channel, in whatever operators they were written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import Emitter, array_of, attributes_of, constant_of, input_of
from prm_export.intake.rewrite import Shapes, bypass, replace_node

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """y = scale · x + offset per channel, float64 [C] each."""

    x: ir.Value
    scale: Floats
    offset: Floats


def fold_affine(model: ir.Model, shapes: Shapes, into_convolutions: bool = True) -> ir.Model:
    """Fold BatchNormalization and arithmetic with constants per channel into the convolution before it.

    What follows no convolution becomes a depthwise 1×1 convolution of its own: Eq. 4 and 5 then say that a
    walker passes where both x and the scale are positive, and stops where they are not, as y has no evidence
    from x there.

    Args:
        model: The classifier, changed in place.
        shapes: Shapes of its values, see ``value_shapes``.
        into_convolutions: False writes all of them as BatchNormalization instead.
    """
    for node in list(model.graph):
        affine = affine_of(node, shapes)
        if affine is None:
            continue
        if (affine.scale == 1).all() and not affine.offset.any():
            bypass(node, affine.x)
            continue
        if not into_convolutions:
            replace_node(node, partial(_batch_norm, affine=affine))
            continue
        convolution = affine.x.producer()
        if convolution is None or convolution.op_type != "Conv" or not _folds(convolution, affine.x):
            replace_node(node, partial(_depthwise, affine=affine))
        else:
            replace_node(node, partial(_folded, convolution=convolution, affine=affine))
    return model


def affine_of(node: ir.Node, shapes: Shapes) -> Affine | None:
    """What a node does to the channels of a map [1, C, h, w], if that is all that it does."""
    shape = shapes.get(node.outputs[0].name or "", ())
    if len(shape) != 4:
        return None
    if node.op_type == "BatchNormalization":
        scale, offset, mean, variance = (constant_of(node, i).astype(np.float64) for i in range(1, 5))
        scale = scale / np.sqrt(variance + attributes_of(node).get("epsilon", 1e-5))
        return Affine(input_of(node), scale, offset - scale * mean)
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    constants = [array_of(input_of(node, index)) for index in (0, 1)]
    if (constants[0] is None) == (constants[1] is None):
        return None
    data = 0 if constants[0] is None else 1
    x = input_of(node, data)
    if shapes.get(x.name or "") != shape:
        return None
    number = _per_channel(constants[1 - data], shape)
    if number is None or (node.op_type == "Div" and data == 1):
        return None
    one, zero = np.ones(shape[1]), np.zeros(shape[1])
    if node.op_type == "Add":
        return Affine(x, one, number)
    if node.op_type == "Sub":
        return Affine(x, one, -number) if data == 0 else Affine(x, -one, number)
    return Affine(x, number if node.op_type == "Mul" else 1 / number, zero)


def _per_channel(constant: NDArray[np.generic] | None, shape: tuple[int, ...]) -> Floats | None:
    if constant is None or constant.ndim > 4:
        return None
    full = constant.astype(np.float64).reshape((1,) * (4 - constant.ndim) + constant.shape)
    if full.shape[0] != 1 or full.shape[2:] != (1, 1) or full.shape[1] not in (1, shape[1]):
        return None
    return np.array(np.broadcast_to(full.ravel(), shape[1]))


def _folds(convolution: ir.Node, V: ir.Value) -> bool:
    constants = (array_of(value) for value in convolution.inputs[1:] if value is not None)
    return len(V.uses()) == 1 and not V.is_graph_output() and all(c is not None for c in constants)


def _folded(emitter: Emitter, convolution: ir.Node, affine: Affine) -> ir.Value:
    W = constant_of(convolution, 1).astype(np.float64) * affine.scale.reshape(-1, 1, 1, 1)
    has_bias = len(convolution.inputs) > 2 and convolution.inputs[2] is not None
    bias = (constant_of(convolution, 2) if has_bias else 0) * affine.scale + affine.offset
    inputs = (input_of(convolution), emitter.constant(W), emitter.constant(bias))
    return emitter.op("Conv", *inputs, **attributes_of(convolution))


def _depthwise(emitter: Emitter, affine: Affine) -> ir.Value:
    W = affine.scale.reshape(-1, 1, 1, 1)
    inputs = (affine.x, emitter.constant(W), emitter.constant(affine.offset))
    return emitter.op("Conv", *inputs, kernel_shape=(1, 1), group=len(W))


def _batch_norm(emitter: Emitter, affine: Affine) -> ir.Value:
    zeros, ones = np.zeros_like(affine.scale), np.ones_like(affine.scale)
    numbers = map(emitter.constant, (affine.scale, affine.offset, zeros, ones))
    return emitter.op("BatchNormalization", affine.x, *numbers, epsilon=0.0)
