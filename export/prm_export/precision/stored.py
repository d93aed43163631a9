"""Weights of the reverse graph as bytes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from prm_export.emit import Emitter, array_of
from prm_export.passes.weights import SMALLEST

LEVELS = 255


def store_bytes(backprop: onnx.ModelProto) -> onnx.ModelProto:
    """Store the large weights W⁺ as uint8 with a scale per row of their first axis.

    Sessions fold the product that restores them, so the arithmetic stays float32: visiting probabilities
    span more orders of magnitude than 8 bits do.
    """
    model = ir.from_proto(backprop)
    for node in list(model.graph):
        value = node.outputs[0]
        if node.op_type not in ("Constant", "Cast") or all(
            use.op_type == "Cast" for use in value.consumers()
        ):
            continue
        W = array_of(value)
        if W is None or W.dtype != np.float32 or W.size < SMALLEST or W.min() < 0 or W.min() == W.max():
            continue
        axes = tuple(range(1, W.ndim))
        scale = np.maximum(W.max(axes, keepdims=True) / LEVELS, np.finfo(np.float32).tiny)
        emitter = Emitter()
        stored = emitter.constant(np.round(W / scale), np.uint8)
        integers = emitter.op("Cast", stored, to=ir.DataType.FLOAT)
        restored = emitter.op("Mul", integers, emitter.constant(scale))
        model.graph.insert_after(node, emitter.nodes)
        ir.convenience.replace_all_uses_with(value, restored)
    common_passes.RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto
