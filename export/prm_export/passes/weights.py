"""Store weights in half precision, or round them to what bytes hold."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import Emitter
from prm_export.walks import ancestors

SMALLEST = 1024
LEVELS = 127
"""Largest integer of a weight as int8; zero is zero."""
NOTHING = 1e-6
"""Channels whose weights are smaller than this share of the layer's largest are as good as none."""


def store_half(model: ir.Model) -> ir.Model:
    """Store the large float32 initializers as float16, each with a Cast back to float32.

    Sessions fold the Cast, so the arithmetic stays float32; only the file shrinks. Biases and small
    tensors, and tensors that float16 cannot hold, stay as they are.
    """
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST:
            continue
        if len(tensor.shape) < 2:  # biases, and the scales of bytes
            continue
        with np.errstate(over="ignore"):
            half = tensor.numpy().astype(np.float16)
        if not np.isfinite(half).all():
            continue
        emitter = Emitter()
        stored = ir.val(f"{name}_float16", const_value=ir.tensor(half, name=f"{name}_float16"))
        restored = emitter.op("Cast", stored, to=ir.DataType.FLOAT)
        restored.shape, restored.dtype = value.shape, ir.DataType.FLOAT
        value.replace_all_uses_with(restored)
        del graph.initializers[name]
        restored.name = name
        graph.register_initializer(stored)
        graph.insert_before(graph[0], emitter.nodes)
    return model


def round_to_bytes(model: ir.Model, M: ir.Value) -> ir.Model:
    """Round the weights of the convolutions below the top layer to what int8 with a scale per channel holds.

    Gains are computed by the forward graph and used by the reverse graph. A weight that is 0 in the one and
    merely small in the other would meet a normaliser of 0 there, so both have to start from rounded weights.

    Args:
        model: The classifier, changed in place.
        M: Its class response maps.
    """
    for node in ancestors(M) - {M.producer()}:
        value = node.inputs[1] if node.op_type == "Conv" else None
        if value is None or value.const_value is None:
            continue
        W = value.const_value.numpy()
        rounded = np.round(W / byte_scale(W)) * byte_scale(W)
        largest = np.abs(W).max((1, 2, 3), keepdims=True)
        rounded[np.broadcast_to(largest <= NOTHING * largest.max(), W.shape)] = 0
        value.const_value = ir.tensor(rounded.astype(np.float32), name=value.name)
    return model


def byte_scale(W: NDArray[np.float32]) -> NDArray[np.float32]:
    """The step of each output channel's weights, [out, 1, 1, 1]; 1 where all are 0."""
    largest = np.abs(W).max((1, 2, 3), keepdims=True)
    return np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
