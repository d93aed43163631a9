"""Operators that hand values on as they are: torch's own gradients are what P does there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from prm_export.oracle_layers.layer import Layer, Operator


def _concat(layer: Layer) -> Tensor:
    return torch.cat(layer.inputs, layer.attributes["axis"])


def _zero_pad(layer: Layer) -> Tensor:
    x, pads = layer.inputs[0], layer.inputs[1].tolist()
    axes = layer.inputs[3].tolist() if len(layer.inputs) > 3 else range(x.ndim)
    order = [0] * (2 * x.ndim)  # last axis first, as F.pad has it
    for place, axis in enumerate(axes):
        at = 2 * (x.ndim - 1 - axis % x.ndim)
        order[at : at + 2] = pads[place], pads[place + len(pads) // 2]
    return F.pad(x, order)


def _slice(layer: Layer) -> Tensor:
    x, starts, ends = layer.inputs[:3]
    axes = layer.inputs[3].tolist() if len(layer.inputs) > 3 else range(len(starts))
    steps = layer.inputs[4].tolist() if len(layer.inputs) > 4 else [1] * len(starts)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        index[axis] = slice(start, end, step)
    result: Tensor = x[tuple(index)]
    return result


def _gather(layer: Layer) -> Tensor:
    x, order = layer.inputs
    return torch.index_select(x, layer.attributes.get("axis", 0), order)


def _same(layer: Layer) -> Tensor:
    value: Tensor = layer.inputs[0]
    return value.clone() if value.requires_grad else value


ROUTING: dict[str, Operator] = {
    "Cast": _same,
    "Concat": _concat,
    "Dropout": _same,
    "Gather": _gather,
    "Identity": _same,
    "Pad": _zero_pad,
    "Slice": _slice,
}
