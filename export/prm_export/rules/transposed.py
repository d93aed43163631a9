"""Transposed convolutions.

Each cell is spread over a window; for Eq. 4 and 5 that is an affine layer like any other, whose W⁺ is the
positive part of the kernel: R = V⁺ / (convT(U⁺, W⁺) + ε), and the step down is the convolution that
ConvTranspose transposes, G_U = conv(G_V · R, W⁺).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from prm_export.emit import attributes_of, constant_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.rules.base import Carried, ForwardGraph, ReverseGraph, Rule

PLACEMENT = ("strides", "pads", "dilations", "group", "kernel_shape")


def check(_forward: ForwardGraph, node: ir.Node) -> None:
    """Refuse what has no rule; a gain of 1 otherwise.

    Raises:
        ExportError: If the layer is not two-dimensional, or leaves its pads open.
    """
    attributes = attributes_of(node)
    W = constant_of(node, 1)
    automatic = attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    if automatic or "output_shape" in attributes or W.ndim != 4:
        raise ExportError(f"{node_name(node)}: only two-dimensional layers with explicit pads have a rule")
    added, strides = attributes.get("output_padding", (0, 0)), attributes.get("strides", (1, 1))
    if any(extra >= stride for extra, stride in zip(added, strides, strict=True)):
        raise ExportError(f"{node_name(node)}: output_padding has to be smaller than the stride")


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value | None:
    check(forward, node)
    evidence = forward.positive(input_of(node, 0)), forward.positive(input_of(node, 1))
    normaliser = forward.op("ConvTranspose", *evidence, **attributes_of(node))
    return forward.ratio(forward.activated(node.outputs[0]), normaliser)


def _propagate(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    attributes: dict[str, Any] = {k: v for k, v in attributes_of(node).items() if k in PLACEMENT}
    W = np.maximum(constant_of(node, 1), 0)
    G_U = reverse.op("Conv", reverse.spread(G), reverse.weight(W), **attributes)
    return [Carried(G_U, pointwise=False)] + [None] * (len(node.inputs) - 1)


RULE = Rule(_gain, _propagate)
