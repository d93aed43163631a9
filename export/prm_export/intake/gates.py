"""HardSigmoid, in whatever operators it was written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from prm_export.emit import Emitter, array_of, input_of
from prm_export.intake.rewrite import replace_node


@dataclass(frozen=True)
class _Ramp:
    """clip(x + offset, 0, top)."""

    x: ir.Value
    offset: float
    top: float


def name_gates(model: ir.Model) -> ir.Model:
    """Write ``clip(x + 3, 0, 6) / 6`` as HardSigmoid, also where it is a factor of a product.

    Exporters whose opset lacks the operators write them out, with a division or a product by 1/6, before or
    after the product with x.
    """
    for node in list(model.graph):
        scaled = _scaled(node)
        if scaled is None:
            continue
        value, scale = scaled
        ramp, factor = _ramp(value), None
        if ramp is None:
            ramp, factor = _product_with_ramp(value)
        if ramp is None or not np.isclose(ramp.top * scale, 1, rtol=1e-3):
            continue
        replace_node(node, partial(_write, ramp=ramp, factor=factor))
    return model


def _write(emitter: Emitter, ramp: _Ramp, factor: ir.Value | None) -> ir.Value:
    gate = emitter.op("HardSigmoid", ramp.x, alpha=1 / ramp.top, beta=ramp.offset / ramp.top)
    return gate if factor is None else emitter.op("Mul", factor, gate)


def _scaled(node: ir.Node) -> tuple[ir.Value, float] | None:
    """The value that a node multiplies by a number, and the number."""
    if node.op_type == "Div":
        number = _number(node.inputs[1])
        return None if not number else (input_of(node, 0), 1 / number)
    if node.op_type == "Mul":
        for index in (0, 1):
            number = _number(node.inputs[index])
            if number is not None:
                return input_of(node, 1 - index), number
    return None


def _ramp(value: ir.Value) -> _Ramp | None:
    clip = value.producer()
    if clip is None or clip.op_type != "Clip" or len(clip.inputs) < 3:
        return None
    low, high = _number(clip.inputs[1]), _number(clip.inputs[2])
    add = input_of(clip).producer()
    if low != 0 or high is None or add is None or add.op_type != "Add":
        return None
    for index in (0, 1):
        offset = _number(add.inputs[index])
        if offset is not None:
            return _Ramp(input_of(add, 1 - index), offset, high)
    return None


def _product_with_ramp(value: ir.Value) -> tuple[_Ramp | None, ir.Value | None]:
    product = value.producer()
    if product is None or product.op_type != "Mul" or len(value.uses()) != 1:
        return None, None
    for index in (0, 1):
        ramp = _ramp(input_of(product, index))
        if ramp is not None:
            return ramp, input_of(product, 1 - index)
    return None, None


def _number(value: ir.Value | None) -> float | None:
    array = None if value is None else array_of(value)
    return None if array is None or array.size != 1 else float(array.item())
