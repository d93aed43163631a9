"""Both graphs as one, for engines that are better off with a single call."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnx import compose

from prm_export.emit import Emitter
from prm_export.errors import ExportError
from prm_runtime.manifest import PRMS

PREFIX = "backprop/"
TABLE = "table"


def fuse(forward: onnx.ModelProto, backprop: onnx.ModelProto) -> onnx.ModelProto:
    """Merge the forward and the reverse graph.

    The output ``prms``, float32 [K, h, w], has a map for each of the K rows of the peak table, all zeros
    where the row is padding, so that no size depends on what is in a picture. The gain maps stay inside.

    Args:
        forward: For one image at a time.
        backprop: The reverse graph that goes with it.

    Raises:
        ExportError: If the forward graph takes several images.
    """
    peaks = next(value for value in forward.graph.output if value.name == "peaks")
    batch, rows, _ = (dim.dim_value for dim in peaks.type.tensor_type.shape.dim)
    if batch != 1:
        raise ExportError("a fused graph takes one picture at a time: leave out --fused or --batch")
    reverse = compose.add_prefix(_from_table(backprop, rows), PREFIX)
    gains = [value.name for value in backprop.graph.input if value.name != "peaks"]
    kept = [value.name for value in forward.graph.output if value.name not in gains]
    merged = compose.merge_models(
        forward,
        reverse,
        io_map=[("peaks", PREFIX + TABLE), *((gain, PREFIX + gain) for gain in gains)],
        outputs=[*kept, PREFIX + PRMS],
    )
    del merged.graph.value_info[:]
    model = ir.from_proto(merged)
    model.graph.name, model.graph.doc_string = "prm_fused", None
    model.graph.outputs[-1].name = PRMS
    common_passes.RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def _from_table(backprop: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """A reverse graph that takes the peak table as it is, int64 [1, rows, 3], padding rows and all."""
    model = ir.from_proto(backprop)
    peaks = model.graph.inputs[0]
    table = ir.val(TABLE, ir.DataType.INT64, (1, rows, 3))
    emitter = Emitter()
    first = emitter.op("Squeeze", table, emitter.int64(0))
    inside = emitter.op("Max", first, emitter.int64(-1, 0, 0))  # class -1 starts no walk, wherever it is
    ir.convenience.replace_all_uses_with(peaks, inside)
    model.graph.insert_before(model.graph[0], emitter.nodes)
    model.graph.inputs[0] = table
    prms = model.graph.outputs[0]
    prms.shape = ir.Shape((rows, *(() if prms.shape is None else prms.shape[1:])))
    return ir.to_proto(model)
