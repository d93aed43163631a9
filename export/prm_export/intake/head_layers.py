"""What each layer of a head is when it is applied to every cell by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from prm_export.emit import Emitter, array_of, attributes_of, constant_of, input_of
from prm_export.intake.movement import MOVEMENTS, Indices, moved


@dataclass(frozen=True)
class Cellwise:
    """A value of the head, and what stands for it once the head is applied cell by cell.

    Attributes:
        value: Maps [1, K, h, w].
        indices: In the shape of the head's own value, the channel of ``value`` that each number is; before
            any pool, ``channel · cells + cell``.
        sides: Height and width of the maps as long as they are not pooled, then (1, 1).
    """

    value: ir.Value
    indices: Indices
    sides: tuple[int, int]

    @property
    def channels(self) -> Indices:
        """The channel of each number, in the shape of the head's own value."""
        return self.indices // prod(self.sides)


Known = dict[ir.Value, Cellwise]
Layer = Callable[[Emitter, ir.Node, Known], Cellwise | None]
"""Emits a layer and says what stands for its output; None where it has no cell-wise form."""


def _movement(_emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    source = known[input_of(node)]
    return replace(source, indices=moved(node, source.indices))


def _global_pool(_emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    return _pooled(known[input_of(node)], (2, 3), keepdims=True)


def _reduction(_emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    if len(node.inputs) < 2:
        return None
    axes = tuple(constant_of(node, 1).ravel().tolist())
    return _pooled(known[input_of(node)], axes, bool(attributes_of(node).get("keepdims", 1)))


def _sum(emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    """A mean times the number of cells at the size that the classifier was made for."""
    pooled = _reduction(emitter, node, known)
    cells = float(prod(known[input_of(node)].sides))
    if pooled is None:
        return None
    return replace(pooled, value=emitter.op("Mul", pooled.value, emitter.constant(cells)))


def _window_pool(_emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    """A pool whose one window holds all cells; padding beyond them changes nothing if it is not counted."""
    source, attributes = known[input_of(node)], attributes_of(node)
    kernel, pads = attributes["kernel_shape"], attributes.get("pads", (0, 0, 0, 0))
    strides = attributes.get("strides", (1, 1))
    for axis, side in enumerate(source.indices.shape[2:]):
        rest = side + pads[axis] + pads[2 + axis] - kernel[axis]
        if kernel[axis] - pads[axis] < side or rest >= strides[axis]:
            return None
    if (any(pads) and attributes.get("count_include_pad", 0)) or len(node.outputs) > 1:
        return None
    return _pooled(source, (2, 3), keepdims=True)


def _pooled(source: Cellwise, axes: tuple[int, ...], keepdims: bool) -> Cellwise | None:
    """Nothing has to be done for a pool over exactly the cells of each channel."""
    channels = source.channels
    low, high = channels.min(axes, keepdims=keepdims), channels.max(axes, keepdims=keepdims)
    every_cell = channels.size == low.size * prod(source.sides)
    return Cellwise(source.value, low, (1, 1)) if every_cell and np.array_equal(low, high) else None


def _fully_connected(emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    source, W = known.get(input_of(node)), array_of(input_of(node, 1))
    attributes = attributes_of(node)
    if source is None or W is None or W.ndim != 2:
        return None
    if attributes.get("transA", 0):
        source = replace(source, indices=source.indices.T)
    rows = (W if attributes.get("transB", 0) else W.T) * attributes.get("alpha", 1.0)
    if not source.indices.size == source.indices.shape[-1] == rows.shape[1]:
        return None
    bias = _bias(node, len(rows)) * attributes.get("beta", 1.0)
    shape = (*source.indices.shape[:-1], len(rows))
    return Cellwise(_convolve(emitter, source, rows, bias), np.arange(len(rows)).reshape(shape), (1, 1))


def _convolution(emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    """A convolution over all of what there is, be it one cell or the maps before any pool."""
    source, W = known.get(input_of(node)), array_of(input_of(node, 1))
    if source is None or W is None or any(attributes_of(node).get("pads", ())):
        return None
    if W.shape[1:] != source.indices.shape[1:]:
        return None
    value = _convolve(emitter, source, W.reshape(len(W), -1), _bias(node, len(W)))
    return Cellwise(value, np.arange(len(W)).reshape(1, -1, 1, 1), (1, 1))


def _bias(node: ir.Node, count: int) -> NDArray[np.generic]:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return np.zeros(count, np.float32)
    return np.broadcast_to(constant_of(node, 2).ravel(), count)


def _convolve(
    emitter: Emitter, source: Cellwise, rows: NDArray[np.generic], bias: NDArray[np.generic]
) -> ir.Value:
    """The convolution whose output n weighs the head's number k by ``rows[n, k]``."""
    h, w = source.sides
    order = np.argsort(source.indices.ravel())
    W = rows[:, order].reshape(len(rows), -1, h, w)
    pads = ((h - 1) // 2, (w - 1) // 2, h // 2, w // 2)
    inputs = (source.value, emitter.constant(W), emitter.constant(bias))
    return emitter.op("Conv", *inputs, kernel_shape=(h, w), pads=pads)


def _elementwise(emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    """An operator that works number by number, on values in the same order and on numbers per channel."""
    sources = [known[value] for value in node.inputs if value in known]
    first = sources[0]
    if any(not np.array_equal(source.indices, first.indices) for source in sources):
        return None
    inputs: list[ir.Value | None] = []
    for value in node.inputs:
        constant = None if value is None or value in known else array_of(value)
        if value is None or (constant is not None and constant.size == 1):
            inputs.append(value)
        elif value in known:
            inputs.append(known[value].value)
        else:
            numbers = None if constant is None else _per_channel(constant, first)
            if numbers is None:
                return None
            inputs.append(emitter.constant(numbers.reshape(1, -1, 1, 1)))
    return replace(first, value=emitter.op(node.op_type, *inputs, **attributes_of(node)))


def _batch_norm(emitter: Emitter, node: ir.Node, known: Known) -> Cellwise | None:
    source = known[input_of(node)]
    order = np.argsort(source.indices.ravel())
    if source.indices.shape[1] != source.indices.size:
        return None
    inputs = (emitter.constant(constant_of(node, index)[order]) for index in range(1, 5))
    return replace(source, value=emitter.op(node.op_type, source.value, *inputs, **attributes_of(node)))


def _per_channel(constant: NDArray[np.generic], source: Cellwise) -> NDArray[np.generic] | None:
    try:
        full = np.broadcast_to(constant, source.indices.shape)
    except ValueError:
        return None
    numbers = np.zeros(source.channels.max() + 1, constant.dtype)
    numbers[source.channels] = full
    return numbers if np.array_equal(numbers[source.channels], full) else None


ELEMENTWISE = (
    "Add",
    "Celu",
    "Clip",
    "Div",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mul",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sub",
    "Tanh",
)
LAYERS: dict[str, Layer] = {
    **dict.fromkeys(MOVEMENTS, _movement),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "AveragePool": _window_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "Gemm": _fully_connected,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MatMul": _fully_connected,
    "MaxPool": _window_pool,
    "ReduceMax": _reduction,
    "ReduceMean": _reduction,
    "ReduceSum": _sum,
}
