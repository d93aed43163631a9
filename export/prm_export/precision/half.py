"""float16: the trunk computes in half precision, all else in float32."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnxruntime.transformers.float16 import convert_float_to_float16

from prm_export.emit import input_of
from prm_export.passes.peak_find import OP_TYPE as PEAK_FIND
from prm_export.precision.trunk import trunk


def to_half(forward: onnx.ModelProto) -> onnx.ModelProto:
    """A forward graph whose trunk runs in float16.

    Inputs and outputs stay float32. So do gain maps, class scores and peaks with all that they are computed
    by: normalisers are divided by, and gains reach beyond what float16 can hold.

    Args:
        forward: With weights stored as float16.
    """
    half = trunk(ir.from_proto(forward), features=True)
    lowered = {node.name for node in half}
    kept = [node.name for node in forward.graph.node if node.name not in lowered]
    copy = onnx.ModelProto()
    copy.CopyFrom(forward)
    converted = convert_float_to_float16(
        copy, keep_io_types=True, op_block_list=[PEAK_FIND], node_block_list=kept
    )
    del converted.graph.value_info[:]
    model = ir.from_proto(converted)
    _drop_detours(model)
    model.graph.sort()
    common_passes.RemoveUnusedNodesPass()(model)
    proto: onnx.ModelProto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def _drop_detours(model: ir.Model) -> None:
    """Let float32 values flow on as they are: the converter sends each through float16."""
    for node in list(model.graph):
        if node.op_type != "Cast":
            continue
        x = input_of(node)
        if _casts_to(node, ir.DataType.FLOAT16) and x.dtype is ir.DataType.FLOAT16:
            ir.convenience.replace_all_uses_with(node.outputs[0], x)  # a weight that is stored so
    outputs = {value.name for value in model.graph.outputs}
    for node in list(model.graph):
        before = input_of(node).producer() if node.op_type == "Cast" else None
        if before is None or before.op_type != "Cast" or not _casts_to(node, ir.DataType.FLOAT):
            continue
        if not _casts_to(before, ir.DataType.FLOAT16):
            continue
        exact, rounded = input_of(before), node.outputs[0]
        name, shape = rounded.name, rounded.shape
        ir.convenience.replace_all_uses_with(rounded, exact, replace_graph_outputs=True)
        if name in outputs:
            rounded.name = f"{name}_rounded"
            exact.name, exact.shape, exact.dtype = name, shape, ir.DataType.FLOAT


def _casts_to(node: ir.Node, dtype: ir.DataType) -> bool:
    return node.attributes["to"].as_int() == dtype
