"""How far apart a classifier's cells are, and which sizes of pictures its layers divide."""

from __future__ import annotations

from math import lcm

import onnx_ir as ir

from prm_export.emit import array_of, attributes_of
from prm_export.errors import ExportError
from prm_export.shapes import USUAL_MULTIPLE

LARGEST = 128
STRIDED = {"AveragePool", "Conv", "MaxPool"}


def size_multiple(model: ir.Model) -> int:
    """The number that the sides of pictures have to be multiples of, 32 or more.

    It is 32 unless a layer's cells are further apart, as in the small MobileNets of Paddle's detectors.

    Raises:
        ExportError: If that number is larger than pictures can sensibly be rounded to.
    """
    apart = {round(stride) for stride in strides_of(model).values() if stride > USUAL_MULTIPLE}
    multiple = lcm(USUAL_MULTIPLE, *apart)
    if multiple > LARGEST:
        raise ExportError(
            f"its layers have strides of {', '.join(map(str, sorted(apart)))} pixels, so that the sides of "
            f"pictures would have to be multiples of {multiple}: up to {LARGEST} can be exported"
        )
    return multiple


def strides_of(model: ir.Model) -> dict[ir.Value, float]:
    """How many pixels the cells of each value are apart."""
    strides = dict.fromkeys(model.graph.inputs, 1.0)
    for node in model.graph:
        below = [strides[value] for value in node.inputs if value is not None and value in strides]
        for output in node.outputs:
            strides[output] = max(below, default=1.0) * _factor(node)
    return strides


def _factor(node: ir.Node) -> float:
    """How much further apart the cells of a layer's output are than those of its input."""
    if node.op_type in STRIDED:
        strides: tuple[int, ...] = attributes_of(node).get("strides", (1,))
        return float(max(strides))
    if node.op_type == "ConvTranspose":
        enlarging: tuple[int, ...] = attributes_of(node).get("strides", (1,))
        return 1 / max(enlarging)
    if node.op_type == "Resize" and len(node.inputs) > 2 and node.inputs[2] is not None:
        scales = array_of(node.inputs[2])
        return 1.0 if scales is None or len(scales) != 4 else 1 / float(scales[2])
    return 1.0
