"""Where the walk of a peak ends, and where the walks of several peaks join."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import onnx_ir as ir

from prm_export.emit import attributes_of, constant_of
from prm_export.errors import ExportError
from prm_export.shapes import Shapes, known_shape
from prm_export.walks import ACTIVATIONS, PASS_THROUGH, activation_of, carrying_inputs, separators

UNFINISHED = ACTIVATIONS | PASS_THROUGH | {"BatchNormalization"}
"""A value that one of these takes is not what comes out of its layer."""


def choose_stop(
    image: ir.Value,
    head: ir.Value,
    stride: int,
    shapes: Shapes,
    or_coarser: bool = False,
    option: str = "--stop-stride",
    *,
    early: bool = False,
) -> ir.Value:
    """The value at which the reverse pass ends: the image at stride 1, else the one nearest to it.

    The nearest to the image is taken because every further layer at the same stride smooths the checkerboard
    that a strided convolution leaves in its input. ``early`` takes the one nearest to the head instead: fewer
    layers are left to walk.

    Args:
        image: The classifier's input.
        head: The input of the top layer.
        stride: Image pixels per cell of the stop.
        shapes: Shapes of all values, from ``infer_shapes``.
        or_coarser: Take the next larger stride if there is no layer at this one.
        option: What the user sets the stride with.
        early: Take the value nearest to the head.

    Raises:
        ExportError: If no value qualifies.
    """
    found = set()
    chosen: tuple[int, ir.Value] | None = None
    for value in _between_layers(image, head):
        # layers without padding lose some cells
        found.add(round(known_shape(shapes, image)[2] / known_shape(shapes, value)[2]))
        coarsest = max(found)
        fits = coarsest >= stride if or_coarser else coarsest == stride
        if not fits or (value is not image and stride == 1):
            continue
        if not early:
            return value
        if chosen is None or chosen[0] == coarsest:
            chosen = coarsest, value
    if chosen is not None:
        return chosen[1]
    strides = ", ".join(map(str, sorted(found)))
    raise ExportError(
        f"the network has no layer to stop at with stride {stride}: use {option} with one of {strides}"
    )


def choose_join(
    image: ir.Value, head: ir.Value, nodes: Sequence[ir.Node], reach: int, shapes: Shapes
) -> ir.Value:
    """The last value that the walk of a peak passes before it reaches farther than ``reach`` cells.

    Args:
        image: The classifier's input.
        head: The input of the top layer.
        nodes: The layers of the walk, in the order in which it visits them.
        reach: Cells of the class response maps around the peak's own.
        shapes: Shapes of all values, from ``infer_shapes``.
    """
    reaches: defaultdict[ir.Value | None, int] = defaultdict(int)
    for node in nodes:
        below = reaches[node.outputs[0]] + _widening(node)
        for value in carrying_inputs(node):
            reaches[value] = max(reaches[value], below)
    grid = known_shape(shapes, head)[2:]

    def near(value: ir.Value) -> bool:
        return value in reaches and reaches[value] <= reach and known_shape(shapes, value)[2:] == grid

    return next((value for value in _between_layers(image, head) if near(value)), head)


def _between_layers(image: ir.Value, head: ir.Value) -> Iterator[ir.Value]:
    """The image and the values that a walk can be cut at, nearest to the image first.

    Only values that every path from the image to the head runs through qualify (in a residual block that is
    its output), and of a layer only what comes out of its activation.
    """
    for value in separators(image, head, carrying_inputs):
        moves_on = any(node.op_type in UNFINISHED for node in value.consumers())
        if value is image or not (moves_on or activation_of(value) is not None):
            yield value


def _widening(node: ir.Node) -> int:
    """By how many cells a layer lets the walk reach farther, at least where it has a kernel."""
    attributes = attributes_of(node)
    kernel = attributes.get("kernel_shape")
    if kernel is None:
        if node.op_type != "Conv":
            return 0
        kernel = constant_of(node, 1).shape[2:]
    dilations = attributes.get("dilations") or [1] * len(kernel)
    return max(int((k - 1) * d + 1) // 2 for k, d in zip(kernel, dilations, strict=True))
