"""Convolutions, pools and interpolation, as plain functions of a map."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from prm_export.errors import ExportError
from prm_export.oracle_layers.layer import Layer

RESIZE = {
    ("nearest", "asymmetric"): ("nearest", None),
    ("nearest", "half_pixel"): ("nearest-exact", None),
    ("linear", "half_pixel"): ("bilinear", False),
    ("linear", "pytorch_half_pixel"): ("bilinear", False),
    ("linear", "align_corners"): ("bilinear", True),
}
"""torch's ``mode`` and ``align_corners`` for ONNX's ``mode`` and ``coordinate_transformation_mode``."""


def convolve(layer: Layer, x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    """W ∗ x + bias."""
    return F.conv2d(
        _padded(layer, x),
        W,
        bias,
        stride=layer.pair("strides"),
        dilation=layer.pair("dilations"),
        groups=layer.attributes.get("group", 1),
    )


def convolve_transposed(layer: Layer, x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    """The transposed convolution; rows and columns that ``output_padding`` adds hold the bias alone."""
    top, left, bottom, right = layer.pads
    below, beside = layer.attributes.get("output_padding", (0, 0))
    placement = layer.pair("strides"), 0, 0, layer.attributes.get("group", 1), layer.pair("dilations")
    full = F.pad(F.conv_transpose2d(x, W, None, *placement), (0, beside, 0, below))
    if bias is not None:
        full = full + bias.view(1, -1, 1, 1)
    return full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]


def max_pool(layer: Layer, x: Tensor) -> Tensor:
    """The maximum of each window."""
    padded = _padded(layer, x, float("-inf"))
    kernel, strides = layer.pair("kernel_shape"), layer.pair("strides")
    return F.max_pool2d(padded, kernel, strides, dilation=layer.pair("dilations"))


def average_pool(layer: Layer, x: Tensor) -> Tensor:
    """The mean of each window."""
    if layer.attributes.get("count_include_pad", 0):
        height, width = layer.pair("kernel_shape")
        return pool_sum(layer, x) / (height * width)
    return pool_sum(layer, x) / pool_sum(layer, x.new_ones(x.shape))


def pool_sum(layer: Layer, x: Tensor) -> Tensor:
    """A pool as the paper sees it: a convolution whose weights are all 1."""
    ones = x.new_ones(x.shape[1], 1, *layer.pair("kernel_shape"))
    strides, dilations = layer.pair("strides"), layer.pair("dilations")
    return F.conv2d(_padded(layer, x), ones, None, strides, 0, dilations, groups=x.shape[1])


def resize(layer: Layer, x: Tensor) -> Tensor:
    """Enlarged maps."""
    scales = layer.inputs[2]
    mode = layer.attributes.get("mode", b"nearest").decode()
    place = layer.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if (mode, place) not in RESIZE:
        raise ExportError(f"the oracle cannot resize by {mode} interpolation with {place} coordinates")
    torch_mode, align = RESIZE[mode, place]
    size = [round(side * scale) for side, scale in zip(x.shape[2:], scales[2:].tolist(), strict=True)]
    return F.interpolate(x, size, mode=torch_mode, align_corners=align)


def _padded(layer: Layer, x: Tensor, value: float = 0.0) -> Tensor:
    top, left, bottom, right = layer.pads
    return F.pad(x, (left, right, top, bottom), value=value)
