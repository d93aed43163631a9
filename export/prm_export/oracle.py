"""Peak back-propagation as the paper writes it (Eq. 4, 5), by autograd: slow, obvious, no kin of the graphs.

Every operator of a classifier is run by torch, and its backward pass hands down visiting probabilities P
instead of gradients. Exports verify themselves against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

from prm_export.errors import ExportError
from prm_export.rules.base import EPSILON

Affine = Callable[[Tensor], Tensor]


class _Proportional(torch.autograd.Function):
    """An affine layer: P(U) = Û · Σ W⁺ P(V) / (Σ Û W⁺ + ε)  (Eq. 4 and 5, Z being 1 / (Σ Û W⁺ + ε))."""

    @staticmethod
    def forward(ctx: Any, _U: Tensor, evidence: Tensor, V: Tensor, positive: Affine) -> Tensor:
        ctx.save_for_backward(evidence)
        ctx.positive = positive
        return V.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None]:
        (P_V,) = grad_outputs
        (evidence,) = ctx.saved_tensors
        with torch.enable_grad():
            U_hat = evidence.detach().requires_grad_()
            normaliser = ctx.positive(U_hat)
            (spread,) = torch.autograd.grad(normaliser, U_hat, P_V / (normaliser + EPSILON))
        return U_hat.detach() * spread, None, None, None


class _Activation(torch.autograd.Function):
    """An activation: P is the same on either side."""

    @staticmethod
    def forward(_ctx: Any, _x: Tensor, activated: Tensor) -> Tensor:
        return activated.clone()

    @staticmethod
    def backward(_ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        return grad_outputs[0], None


class _Sum(torch.autograd.Function):
    """A sum: each branch gets its share of the evidence."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, a_hat: Tensor, b_hat: Tensor) -> Tensor:
        ctx.save_for_backward(a_hat, b_hat)
        return a + b

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, Tensor, None, None]:
        a_hat, b_hat = ctx.saved_tensors
        share = grad_outputs[0] / (a_hat + b_hat + EPSILON)
        return a_hat * share, b_hat * share, None, None


_proportional: Callable[..., Tensor] = _Proportional.apply
_activation: Callable[..., Tensor] = _Activation.apply
_sum: Callable[..., Tensor] = _Sum.apply


@dataclass(frozen=True)
class _Layer:
    """A node as it is run: its inputs, Û (or W⁺) of each of them, its attributes."""

    inputs: list[Any]
    evidence: list[Any]
    attributes: Mapping[str, Any]


class Oracle:
    """A classifier run by torch, whose backward pass is peak back-propagation.

    Args:
        classifier: ONNX model with batch norm folded; its first output is M.
        image_minimum: Smallest possible value per channel of the normalised image, float32 [3].
        dtype: float32, or float64 for tests of exactness.

    Raises:
        ExportError: If it holds an operator that the oracle does not know.
    """

    def __init__(
        self,
        classifier: onnx.ModelProto,
        image_minimum: NDArray[np.float32],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._graph = classifier.graph
        self._minimum = torch.tensor(image_minimum, dtype=dtype).view(1, -1, 1, 1)
        self._dtype = dtype
        unknown = sorted({node.op_type for node in self._graph.node} - set(_OPERATORS) - {"Constant"})
        if unknown:
            raise ExportError(f"the oracle cannot run {', '.join(unknown)}")

    def run(self, image: NDArray[np.float32]) -> dict[str, Tensor]:
        """All values of the graph for an image float32 [1, 3, H, W], with autograd on."""
        x = torch.tensor(image, dtype=self._dtype).requires_grad_()
        values: dict[str, Any] = {"": None, self._graph.input[0].name: x}
        for tensor in self._graph.initializer:
            values[tensor.name] = self._constant(tensor)
        for node in self._graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                values[node.output[0]] = self._constant(attributes["value"])
                continue
            inputs = [values[name] for name in node.input]
            evidence = [
                None if U is None else (U - self._minimum if U is x else U).detach().relu() for U in inputs
            ]
            values[node.output[0]] = _OPERATORS[node.op_type](_Layer(inputs, evidence, attributes))
        return values

    def response_map(
        self, values: Mapping[str, Tensor], peak: tuple[int, int, int], stop: str
    ) -> NDArray[Any]:
        """The Peak Response Map of a peak (class, row, column) at the value ``stop``: float [h, w], sum 1."""
        M = values[self._graph.output[0].name]
        seed = torch.zeros_like(M)
        seed[(0, *peak)] = 1
        (P,) = torch.autograd.grad(M, values[stop], seed, retain_graph=True)
        prm = P[0].sum(0)
        mass = prm.sum()
        result: NDArray[Any] = (prm / mass if mass > 0 else prm).numpy()
        return result

    def _constant(self, tensor: onnx.TensorProto) -> Tensor:
        array = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        return array.to(self._dtype) if array.is_floating_point() else array


def _pad_for(layer: _Layer, U: Tensor, value: float = 0.0) -> Tensor:
    top, left, bottom, right = layer.attributes.get("pads", (0, 0, 0, 0))
    return F.pad(U, (left, right, top, bottom), value=value)


def _conv(layer: _Layer) -> Tensor:
    U, W, bias = (*layer.inputs, None)[:3]
    U_hat, W_plus = layer.evidence[:2]

    def convolve(x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(
            _pad_for(layer, x),
            W,
            bias,
            stride=tuple(layer.attributes.get("strides", (1, 1))),
            dilation=tuple(layer.attributes.get("dilations", (1, 1))),
            groups=layer.attributes.get("group", 1),
        )

    return _proportional(U, U_hat, convolve(U, W, bias), lambda x: convolve(x, W_plus))


def _max_pool(layer: _Layer) -> Tensor:
    (U,) = layer.inputs
    kernel, strides, dilations = _pool_placement(layer)
    V = F.max_pool2d(_pad_for(layer, U, float("-inf")), kernel, strides, dilation=dilations)
    return _proportional(U, *layer.evidence, V, lambda x: _pool_sum(layer, x))


def _average_pool(layer: _Layer) -> Tensor:
    (U,) = layer.inputs
    if layer.attributes.get("count_include_pad", 0):
        height, width = _pool_placement(layer)[0]
        V = _pool_sum(layer, U) / (height * width)
    else:
        V = _pool_sum(layer, U) / _pool_sum(layer, torch.ones_like(U))
    return _proportional(U, *layer.evidence, V, lambda x: _pool_sum(layer, x))


def _pool_sum(layer: _Layer, x: Tensor) -> Tensor:
    """A pool as the paper sees it: a convolution whose weights are all 1."""
    kernel, strides, dilations = _pool_placement(layer)
    ones = x.new_ones(x.shape[1], 1, *kernel)
    return F.conv2d(_pad_for(layer, x), ones, None, strides, 0, dilations, groups=x.shape[1])


def _pool_placement(layer: _Layer) -> tuple[tuple[int, int], ...]:
    names = ("kernel_shape", "strides", "dilations")
    return tuple(tuple(layer.attributes.get(name, (1, 1))) for name in names)


def _relu(layer: _Layer) -> Tensor:
    (x,) = layer.inputs
    return _activation(x, x.detach().relu())


def _clip(layer: _Layer) -> Tensor:
    x, low, high = (*layer.inputs, None, None)[:3]
    return _activation(x, x.detach().clamp(low, high))


def _add(layer: _Layer) -> Tensor:
    return _sum(*layer.inputs, *layer.evidence)


def _concat(layer: _Layer) -> Tensor:
    return torch.cat(layer.inputs, layer.attributes["axis"])


def _zero_pad(layer: _Layer) -> Tensor:
    pads = layer.inputs[1].tolist()
    half = len(pads) // 2
    order = [int(pad) for axis in reversed(range(half)) for pad in (pads[axis], pads[half + axis])]
    return F.pad(layer.inputs[0], order)


def _same(layer: _Layer) -> Tensor:
    value: Tensor = layer.inputs[0]
    return value.clone() if value.requires_grad else value


_OPERATORS: dict[str, Callable[[_Layer], Tensor]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "Cast": _same,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _same,
    "Identity": _same,
    "MaxPool": _max_pool,
    "Pad": _zero_pad,
    "Relu": _relu,
}
