"""Models that compute in half precision, in single precision."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def in_single_precision(proto: onnx.ModelProto) -> None:
    """Let a model that computes in float16 or bfloat16 compute in float32, with the weights that it has.

    Args:
        proto: The model, changed in place.
    """
    for tensor in proto.graph.initializer:
        _widen(tensor)
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i in HALF:
                attribute.i = TensorProto.FLOAT
    for value in (*proto.graph.input, *proto.graph.output):
        if value.type.tensor_type.elem_type in HALF:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in HALF:
        array = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
