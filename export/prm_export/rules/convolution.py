"""Convolutions, grouped, strided, dilated and padded at will (Eq. 4, 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import attributes_of, constant_of, input_of
from prm_export.rules.base import EPSILON, Carried, ForwardGraph, ReverseGraph, Rule, near_peaks
from prm_export.rules.peak_windows import LARGEST
from prm_export.rules.window import Window, window_of


def _gain(forward: ForwardGraph, node: ir.Node) -> ir.Value:
    channels = len(constant_of(node, 1))
    window = window_of(node, forward.path)
    evidence = forward.positive(input_of(node, 0)), forward.positive(input_of(node, 1))
    epsilon = forward.constant(np.full(channels, EPSILON))
    group = attributes_of(node).get("group", 1)
    normaliser = forward.op("Conv", *evidence, epsilon, group=group, **window.attributes)
    return forward.op("Div", forward.activated(node.outputs[0]), normaliser)


def _reach_below(window: Window, G: Carried) -> int | None:
    """How far around the peaks G reaches below a convolution that keeps the size of maps; None if too far."""
    reaches = {(k - 1) * d for k, d in zip(window.kernel, window.dilations, strict=True)}
    if not near_peaks(G) or window.strides != (1, 1) or len(reaches) != 1:
        return None
    across = reaches.pop()
    reach = (G.reach or 0) + across // 2
    if across % 2 or set(window.pads) != {across // 2} or 2 * reach + 1 > LARGEST:
        return None
    return reach


def _widened(
    reverse: ReverseGraph, G: Carried, W: NDArray[np.float32], window: Window, reach: int
) -> ir.Value:
    """Windows [P, k², C] of this reach below a depthwise convolution."""
    if G.pointwise and set(window.dilations) == {1}:
        kernels = reverse.constant(W.reshape(1, len(W), -1).swapaxes(1, 2))
        return reverse.op("Mul", reverse.op("Unsqueeze", G.value, reverse.int64(1)), kernels)
    before = G.reach or 0
    maps = reverse.windows.as_maps(reverse.window(G, before), before)
    placement = {"pads": [2 * (reach - before)] * 4, "dilations": window.dilations, "group": len(W)}
    return reverse.windows.of_maps(reverse.op("Conv", maps, reverse.weight(W[:, :, ::-1, ::-1]), **placement))


def _propagate(reverse: ReverseGraph, node: ir.Node, G: Carried) -> Sequence[Carried | None]:
    window = window_of(node, reverse.path)
    group = attributes_of(node).get("group", 1)
    W = np.maximum(constant_of(node, 1), 0)
    rest: list[Carried | None] = [None] * (len(node.inputs) - 1)
    if window.dense and group == 1:
        if near_peaks(G):
            return [replace(G, value=reverse.op("MatMul", G.value, reverse.weight(W[:, :, 0, 0]))), *rest]
        return [replace(G, value=reverse.op("Conv", G.value, reverse.weight(W.swapaxes(0, 1)))), *rest]
    depthwise = W.shape[1] == 1 and W.shape[0] == group
    wider = _reach_below(window, G)
    if depthwise and wider is not None:
        return [Carried(_widened(reverse, G, W, window, wider), False, wider), *rest]
    maps = reverse.spread(G)
    if depthwise and window.strides == (1, 1) and min(window.flipped_pads) >= 0:
        # ONNX Runtime's CPU kernel of a depthwise ConvTranspose is much slower
        attributes = {**window.attributes, "pads": window.flipped_pads, "group": group}
        G_U = reverse.op("Conv", maps, reverse.weight(W[:, :, ::-1, ::-1]), **attributes)
    else:
        G_U = reverse.op("ConvTranspose", maps, reverse.weight(W), group=group, **window.transposed)
    return [Carried(G_U, pointwise=False), *rest]


RULE = Rule(_gain, _propagate)
