"""The layers of the autograd oracle: what torch computes forward, and where P goes on the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
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
class Layer:
    """A node as it is run: its inputs, Û (or W⁺) of each of them, its attributes."""

    inputs: list[Any]
    evidence: list[Any]
    attributes: Mapping[str, Any]


def _pad_for(layer: Layer, U: Tensor, value: float = 0.0) -> Tensor:
    top, left, bottom, right = layer.attributes.get("pads", (0, 0, 0, 0))
    return F.pad(U, (left, right, top, bottom), value=value)


def _conv(layer: Layer) -> Tensor:
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


def _max_pool(layer: Layer) -> Tensor:
    (U,) = layer.inputs
    kernel, strides, dilations = _pool_placement(layer)
    V = F.max_pool2d(_pad_for(layer, U, float("-inf")), kernel, strides, dilation=dilations)
    return _proportional(U, *layer.evidence, V, lambda x: _pool_sum(layer, x))


def _average_pool(layer: Layer) -> Tensor:
    (U,) = layer.inputs
    if layer.attributes.get("count_include_pad", 0):
        height, width = _pool_placement(layer)[0]
        V = _pool_sum(layer, U) / (height * width)
    else:
        V = _pool_sum(layer, U) / _pool_sum(layer, torch.ones_like(U))
    return _proportional(U, *layer.evidence, V, lambda x: _pool_sum(layer, x))


def _pool_sum(layer: Layer, x: Tensor) -> Tensor:
    """A pool as the paper sees it: a convolution whose weights are all 1."""
    kernel, strides, dilations = _pool_placement(layer)
    ones = x.new_ones(x.shape[1], 1, *kernel)
    return F.conv2d(_pad_for(layer, x), ones, None, strides, 0, dilations, groups=x.shape[1])


def _pool_placement(layer: Layer) -> tuple[tuple[int, int], ...]:
    names = ("kernel_shape", "strides", "dilations")
    return tuple(tuple(layer.attributes.get(name, (1, 1))) for name in names)


def _activates(function: Callable[..., Tensor], **options: str) -> Callable[[Layer], Tensor]:
    """An activation by its torch function; ``options`` are the function's names of ONNX attributes."""

    def run(layer: Layer) -> Tensor:
        x = layer.inputs[0]
        given = {ours: layer.attributes[name] for name, ours in options.items() if name in layer.attributes}
        return _activation(x, function(x.detach(), *layer.inputs[1:], **given))

    return run


def _gelu(layer: Layer) -> Tensor:
    (x,) = layer.inputs
    approximate = layer.attributes.get("approximate", b"none").decode()
    return _activation(x, F.gelu(x.detach(), approximate=approximate))


def _prelu(layer: Layer) -> Tensor:
    x, slope = layer.inputs
    return _activation(x, torch.where(x > 0, x, slope * x).detach())


def _leaky_relu(layer: Layer) -> Tensor:
    (x,) = layer.inputs
    return _activation(x, F.leaky_relu(x.detach(), layer.attributes.get("alpha", 0.01)))


def _local_response_norm(layer: Layer) -> Tensor:
    (x,) = layer.inputs
    names = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, k = (layer.attributes.get(name, default) for name, default in names.items())
    return _activation(x, F.local_response_norm(x.detach(), layer.attributes["size"], alpha, beta, k))


def _clip(layer: Layer) -> Tensor:
    x, low, high = (*layer.inputs, None, None)[:3]
    return _activation(x, x.detach().clamp(low, high))


def _conv_transpose(layer: Layer) -> Tensor:
    U, W, bias = (*layer.inputs, None)[:3]
    top, left, bottom, right = layer.attributes.get("pads", (0, 0, 0, 0))
    below, beside = layer.attributes.get("output_padding", (0, 0))

    def convolve(x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
        strides = tuple(layer.attributes.get("strides", (1, 1)))
        dilation = tuple(layer.attributes.get("dilations", (1, 1)))
        groups = layer.attributes.get("group", 1)
        full = F.conv_transpose2d(x, W, bias, strides, 0, 0, groups, dilation)
        full = F.pad(full, (0, beside, 0, below)) if bias is None else _with_rest(full, bias, below, beside)
        return full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]

    U_hat, W_plus = layer.evidence[:2]
    return _proportional(U, U_hat, convolve(U, W, bias), lambda x: convolve(x, W_plus))


def _with_rest(full: Tensor, bias: Tensor, below: int, beside: int) -> Tensor:
    """Rows and columns that ``output_padding`` adds hold the bias where no window reaches them."""
    rest = F.pad(full - bias.view(1, -1, 1, 1), (0, beside, 0, below))
    return rest + bias.view(1, -1, 1, 1)


def _resize(layer: Layer) -> Tensor:
    U, scales = layer.inputs[0], layer.inputs[2]
    mode = layer.attributes.get("mode", b"nearest").decode()
    place = layer.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    torch_modes = {
        ("nearest", "asymmetric"): ("nearest", None),
        ("nearest", "half_pixel"): ("nearest-exact", None),
        ("linear", "half_pixel"): ("bilinear", False),
        ("linear", "pytorch_half_pixel"): ("bilinear", False),
        ("linear", "align_corners"): ("bilinear", True),
    }
    if (mode, place) not in torch_modes:
        raise ExportError(f"the oracle cannot resize by {mode} interpolation with {place} coordinates")
    torch_mode, align = torch_modes[mode, place]

    def enlarge(x: Tensor) -> Tensor:
        size = [round(side * scale) for side, scale in zip(x.shape[2:], scales[2:].tolist(), strict=True)]
        return F.interpolate(x, size, mode=torch_mode, align_corners=align)

    return _proportional(U, layer.evidence[0], enlarge(U), enlarge)


def _add(layer: Layer) -> Tensor:
    return _sum(*layer.inputs, *layer.evidence)


def _concat(layer: Layer) -> Tensor:
    return torch.cat(layer.inputs, layer.attributes["axis"])


def _zero_pad(layer: Layer) -> Tensor:
    pads = layer.inputs[1].tolist()
    half = len(pads) // 2
    order = [int(pad) for axis in reversed(range(half)) for pad in (pads[axis], pads[half + axis])]
    return F.pad(layer.inputs[0], order)


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


def _scale(layer: Layer) -> Tensor:
    """A value times its gate; gates carry no gradient, see ``_gate``."""
    carrying = [value for value in layer.inputs if value.requires_grad]
    if not carrying:
        result: Tensor = layer.inputs[0] * layer.inputs[1]
        return result
    (x,) = carrying
    a, b = layer.inputs
    return _activation(x, (a * b).detach())


def _gate(function: Callable[..., Tensor]) -> Callable[[Layer], Tensor]:
    """What only gates are made of: P does not go there."""
    return lambda layer: function(layer).detach()


def _hard_sigmoid(layer: Layer) -> Tensor:
    alpha, beta = layer.attributes.get("alpha", 0.2), layer.attributes.get("beta", 0.5)
    result: Tensor = (layer.inputs[0] * alpha + beta).clamp(0, 1)
    return result


def _mean(layer: Layer) -> Tensor:
    axes = tuple(layer.inputs[1].tolist()) if len(layer.inputs) > 1 else (2, 3)
    result: Tensor = layer.inputs[0].mean(axes, keepdim=bool(layer.attributes.get("keepdims", 1)))
    return result


def _gemm(layer: Layer) -> Tensor:
    a, b = layer.inputs[:2]
    a = a.T if layer.attributes.get("transA", 0) else a
    b = b.T if layer.attributes.get("transB", 0) else b
    product = layer.attributes.get("alpha", 1.0) * (a @ b)
    result: Tensor = (
        product + layer.attributes.get("beta", 1.0) * layer.inputs[2] if len(layer.inputs) > 2 else product
    )
    return result


def _reshape(layer: Layer) -> Tensor:
    x, shape = layer.inputs
    result: Tensor = x.reshape(
        [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())]
    )
    return result


def _squeeze(layer: Layer) -> Tensor:
    result: Tensor = layer.inputs[0].squeeze(tuple(layer.inputs[1].tolist()))
    return result


def _unsqueeze(layer: Layer) -> Tensor:
    x = layer.inputs[0]
    for axis in sorted(layer.inputs[1].tolist()):
        x = x.unsqueeze(axis)
    result: Tensor = x
    return result


def _same(layer: Layer) -> Tensor:
    value: Tensor = layer.inputs[0]
    return value.clone() if value.requires_grad else value


OPERATORS: dict[str, Callable[[Layer], Tensor]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "Cast": _same,
    "Celu": _activates(F.celu, alpha="alpha"),
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _same,
    "Elu": _activates(F.elu, alpha="alpha"),
    "Flatten": _gate(lambda layer: layer.inputs[0].flatten(layer.attributes.get("axis", 1))),
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gate(_gemm),
    "GlobalAveragePool": _gate(_mean),
    "HardSigmoid": _gate(_hard_sigmoid),
    "HardSwish": _activates(F.hardswish),
    "Identity": _same,
    "LRN": _local_response_norm,
    "LeakyRelu": _leaky_relu,
    "MatMul": _gate(_gemm),
    "MaxPool": _max_pool,
    "Mish": _activates(F.mish),
    "Mul": _scale,
    "PRelu": _prelu,
    "Pad": _zero_pad,
    "ReduceMean": _gate(_mean),
    "Relu": _activates(torch.relu),
    "Reshape": _gate(_reshape),
    "Resize": _resize,
    "Selu": _activates(F.selu),
    "Sigmoid": _gate(lambda layer: layer.inputs[0].sigmoid()),
    "Slice": _slice,
    "Softmax": _gate(lambda layer: layer.inputs[0].softmax(layer.attributes.get("axis", -1))),
    "Softsign": _activates(F.softsign),
    "Squeeze": _gate(_squeeze),
    "Tanh": _activates(torch.tanh),
    "Unsqueeze": _gate(_unsqueeze),
}
