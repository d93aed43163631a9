"""Store weights in half precision."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from prm_export.emit import Emitter

SMALLEST = 1024


def store_half(model: ir.Model) -> ir.Model:
    """Store the large float32 initializers as float16, each with a Cast back to float32.

    Sessions fold the Cast, so the arithmetic stays float32; only the file shrinks. Biases and other small
    tensors, and tensors that float16 cannot hold, stay as they are.
    """
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST:
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
