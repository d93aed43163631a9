"""Weights of the reverse graph as bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray

from prm_export.emit import Emitter, array_of
from prm_export.passes.weights import LEVELS, SMALLEST, byte_scale

Weight = NDArray[np.float32]


def store_bytes(backprop: onnx.ModelProto, classifier: onnx.ModelProto) -> onnx.ModelProto:
    """Store the large weights W⁺ as uint8, with the scales that the classifier's weights were rounded with.

    Sessions fold the product that restores them, so the arithmetic stays float32: visiting probabilities
    span more orders of magnitude than 8 bits do.

    Args:
        backprop: The reverse graph.
        classifier: What it was made from, with weights rounded to bytes.
    """
    given = [onnx.numpy_helper.to_array(t) for t in classifier.graph.initializer if len(t.dims) == 4]
    model = ir.from_proto(backprop)
    for node in list(model.graph):
        W = array_of(node.outputs[0]) if node.op_type == "Constant" else None
        if W is None or W.dtype != np.float32 or W.size < SMALLEST:
            continue
        scale = _scale_of(W, given)
        if scale is None:
            continue
        emitter = Emitter()
        stored = emitter.constant(np.round(W / scale), np.uint8)
        integers = emitter.op("Cast", stored, to=ir.DataType.FLOAT)
        restored = emitter.op("Mul", integers, emitter.constant(scale))
        model.graph.insert_after(node, emitter.nodes)
        ir.convenience.replace_all_uses_with(node.outputs[0], restored)
    common_passes.RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def _scale_of(W: Weight, given: Sequence[Weight]) -> Weight | None:
    """The scales by which W⁺, maybe turned, transposed or without its window, becomes integers."""
    for original in given:
        scale = byte_scale(original)
        turned = scale.swapaxes(0, 1)
        for shape, step in (
            (original.shape, scale),
            (original.swapaxes(0, 1).shape, turned),
            (original.shape[:2], scale[:, :, 0, 0]),
        ):
            if shape == W.shape and _are_integers(W / step):
                return step
    return None


def _are_integers(levels: Weight) -> bool:
    return bool(np.abs(levels - np.round(levels)).max() < 1e-2 and levels.max() < LEVELS + 0.5)
