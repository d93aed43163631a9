"""Upsampling: V = A U with weights A ≥ 0 that depend on the size alone.

Nearest and linear interpolation are affine layers of their own: R = V⁺ / (A U⁺ + ε), G_U = Aᵀ (G_V · R). The
weights are separable, A = A_h ⊗ A_w, and each factor is what the same Resize makes of an identity matrix, for
every size and coordinate convention.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from prm_export.emit import array_of, attributes_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule

MODES = ("nearest", "linear")


def check(_forward: ForwardGraph, node: ir.Node) -> None:
    """Refuse what has no rule; a gain of 1 otherwise.

    Raises:
        ExportError: If maps are made smaller, or by weights that may be negative.
    """
    attributes, scales = attributes_of(node), _scales(node)
    plain = scales is not None and len(scales) == 4 and scales[:2] == [1, 1] and min(scales[2:]) >= 1
    crops = attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if not plain or "axes" in attributes or crops or attributes.get("mode", "nearest") not in MODES:
        raise ExportError(
            f"{node_name(node)}: only enlarging maps by constant scales, nearest or linear, has a rule"
        )


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    check(forward, node)
    U = forward.positive(input_of(node))
    total = forward.op("Resize", U, *node.inputs[1:], **attributes_of(node))
    return forward.ratio(forward.activated(node.outputs[0]), total)


def _propagate(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    scales = _scales(node) or []
    maps = reverse.spread(G)
    rows, columns = (_interpolation(reverse, node, maps, axis, scales[axis]) for axis in (2, 3))
    turned = reverse.op("Transpose", rows, perm=[1, 0])
    G_U = reverse.op("MatMul", turned, reverse.op("MatMul", maps, columns))
    return [Carried(G_U, pointwise=False)] + [None] * (len(node.inputs) - 1)


def _interpolation(reverse: ReverseGraph, node: ir.Node, V: ir.Value, axis: int, scale: float) -> ir.Value:
    """The matrix of one axis, [size of V, size of U]."""
    after = reverse.op("Cast", reverse.op("Shape", V, start=axis, end=axis + 1), to=ir.DataType.FLOAT)
    before = reverse.op("Round", reverse.op("Div", after, reverse.constant(scale)))
    sides = reverse.op("Concat", *[reverse.op("Cast", before, to=ir.DataType.INT64)] * 2, axis=0)
    square = reverse.op("ConstantOfShape", sides)
    identity = reverse.op("Unsqueeze", reverse.op("EyeLike", square), reverse.int64(0, 1))
    factors = reverse.constant([1, 1, scale, 1])
    resized = reverse.op("Resize", identity, None, factors, **attributes_of(node))
    return reverse.op("Squeeze", resized, reverse.int64(0, 1))


def _scales(node: ir.Node) -> list[float] | None:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    scales = None if value is None else array_of(value)
    return None if scales is None or scales.size == 0 else scales.tolist()


RULE = Rule(_gain, _propagate)
