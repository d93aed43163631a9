"""Shapes of a classifier's values for images of a probe size, and what they say of others."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from prm_export.errors import ExportError

# sides that leave different remainders at every stride above what both are multiples of
PROBE_ROWS, PROBE_COLUMNS = 14, 11
USUAL_MULTIPLE = 32

Shapes = dict[str, tuple[int, ...]]


def probe_size(multiple: int) -> tuple[int, int]:
    """Height and width of the image that shapes are inferred for; both are multiples of this number."""
    return PROBE_ROWS * multiple, PROBE_COLUMNS * multiple


def infer_shapes(model: ir.Model, height: int, width: int) -> Shapes:
    """Shapes of the values for an image of this size, as far as they follow from it."""
    proto = ir.to_proto(model)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, 3, height, width), strict=True):
        dim.dim_value = size
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    sizes = {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in (*graph.input, *graph.value_info, *graph.output)
    }
    return {name: shape for name, shape in sizes.items() if all(shape)}


def known_shape(shapes: Shapes, value: ir.Value) -> tuple[int, ...]:
    """Shape of a value.

    Raises:
        ExportError: If it does not follow from the image's.
    """
    shape = shapes.get(value.name or "")
    if shape is None:
        raise ExportError(
            f"the shape of '{value.name}' does not follow from the image's: export the network without "
            "shapes that are computed at run time"
        )
    return shape
