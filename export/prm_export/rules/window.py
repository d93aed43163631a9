"""Sliding windows: how a convolution or pool lays its kernel over the input, and how to lay it back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from prm_export.emit import attributes_of, constant_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.reverse_path import ReversePath


@dataclass(frozen=True)
class Window:
    """Kernel placement of a two-dimensional sliding operator, each entry (vertical, horizontal).

    ``pads`` are top, left, bottom, right as in ONNX; ``output_padding`` is what ConvTranspose has to add at
    the bottom and right to get the input's size back.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    output_padding: tuple[int, int]

    @property
    def dense(self) -> bool:
        """Whether the operator visits every cell with a kernel of one cell."""
        return self.kernel == (1, 1) and self.strides == (1, 1) and not any(self.pads)

    @property
    def attributes(self) -> dict[str, Any]:
        """As ONNX attributes of Conv or a pool."""
        return {
            "kernel_shape": self.kernel,
            "strides": self.strides,
            "pads": self.pads,
            "dilations": self.dilations,
        }

    @property
    def transposed(self) -> dict[str, Any]:
        """As ONNX attributes of the ConvTranspose that undoes the placement."""
        return {**self.attributes, "output_padding": self.output_padding}

    @property
    def flipped_pads(self) -> tuple[int, ...]:
        """Padding of the stride-1 convolution with flipped kernel that equals the transposed one."""
        reach = [(k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True)]
        return tuple(r - pad for r, pad in zip(reach * 2, self.pads, strict=True))


def window_of(node: ir.Node, path: ReversePath) -> Window:
    """The placement of a Conv, MaxPool or AveragePool.

    Raises:
        ExportError: If it is not two-dimensional, pads automatically, or if its input's size does not follow
            from its output's size for images whose sides are multiples
            of the network's stride.
    """
    attributes = attributes_of(node)
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ExportError(f"{node_name(node)} pads automatically: export the network with explicit pads")
    U, V = path.shape(input_of(node)), path.shape(node.outputs[0])
    kernel = attributes.get("kernel_shape") or constant_of(node, 1).shape[2:]
    if len(U) != 4 or len(kernel) != 2:
        raise ExportError(
            f"{node_name(node)}: only two-dimensional layers have a rule, found input shape {U}"
        )
    strides = tuple(attributes.get("strides") or (1, 1))
    pads = tuple(attributes.get("pads") or (0, 0, 0, 0))
    dilations = tuple(attributes.get("dilations") or (1, 1))
    window = Window(tuple(kernel), strides, pads, dilations, (0, 0))
    missing = _missing(window, U, V)
    turned = _missing(window, path.turned_shape(input_of(node)), path.turned_shape(node.outputs[0]))
    if missing != turned or not all(0 <= n < stride for n, stride in zip(missing, strides, strict=True)):
        raise ExportError(
            f"{node_name(node)}: its input's size does not follow from its output's "
            f"({U[2]}×{U[3]} -> {V[2]}×{V[3]}): use padding that keeps (or strides that divide) sizes that "
            "are multiples of the network's stride, and no ceil_mode"
        )
    return replace(window, output_padding=missing)


def _missing(window: Window, U: tuple[int, ...], V: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of the input beyond what the windows of the output cover."""
    vertical, horizontal = (
        U[2 + axis]
        - ((V[2 + axis] - 1) * window.strides[axis] + (window.kernel[axis] - 1) * window.dilations[axis] + 1)
        + window.pads[axis]
        + window.pads[2 + axis]
        for axis in (0, 1)
    )
    return vertical, horizontal
