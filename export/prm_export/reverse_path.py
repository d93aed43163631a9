"""Which part of a classifier peak back-propagation walks: from the class response maps down to the stop."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx_ir as ir

from prm_export.emit import attributes_of, constant_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.walks import (
    ACTIVATIONS,
    PASS_THROUGH,
    activation_of,
    ancestors,
    carrying_inputs,
    descendants,
    separators,
)

# sides that leave different remainders at every stride above what both are multiples of
PROBE_ROWS, PROBE_COLUMNS = 14, 11
USUAL_MULTIPLE = 32

UNFINISHED = ACTIVATIONS | PASS_THROUGH | {"BatchNormalization"}
"""A value that one of these takes is not what comes out of its layer."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ReversePath:
    """The layers that a peak is propagated through.

    Attributes:
        top: The 1×1 convolution whose output is M.
        stop: The value at which the Peak Response Map is read.
        nodes: The layers below ``top`` and above ``stop``, in the order in which the reverse pass visits
            them.
        shapes: Shape of every value for an image of the probe size.
        turned_shapes: The same for that image turned by 90 degrees.
        probe: Height and width of that image, multiples of what all sizes have to be multiples of.
        shapes: Shape of every value for an image of ``PROBE_HEIGHT`` × ``PROBE_WIDTH``.
        turned_shapes: The same for an image of ``PROBE_WIDTH`` × ``PROBE_HEIGHT``.
        split: The value down to which peaks are walked apart, if they share the rest of the way.
        batch: Images that go in at once.
        fixed_shapes: Shapes for the one size of image that the graphs are made for; None where its sides are
            free.
    """

    top: ir.Node
    stop: ir.Value
    nodes: tuple[ir.Node, ...]
    shapes: Shapes
    turned_shapes: Shapes
    probe: tuple[int, int]
    split: ir.Value | None = None
    batch: int = 1
    fixed_shapes: Shapes | None = None

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        """Shape of a value at the probe size."""
        return _known(self.shapes, value)

    def turned_shape(self, value: ir.Value) -> tuple[int, ...]:
        """Shape of a value at the probe size turned by 90 degrees."""
        return _known(self.turned_shapes, value)

    @property
    def stop_stride(self) -> int:
        """Image pixels per cell of the stop."""
        return round(self.probe[0] / self.shape(self.stop)[2])

    def symbolic_sides(self, height: int, width: int) -> tuple[str, str]:
        """How the sides of a map of this size at the probe size follow from the image's."""
        return _fraction("height", self.probe[0], height), _fraction("width", self.probe[1], width)

    def declared(self, value: ir.Value) -> tuple[int | str, ...]:
        """The shape that a graph states for a map [N, C, h, w], free sides as fractions of the image's."""
        if self.fixed_shapes is not None:
            return (self.batch, *_known(self.fixed_shapes, value)[1:])
        _, channels, height, width = self.shape(value)
        if self.turned_shape(value) == self.shape(value):  # a gate: one number for all cells
            return (self.batch, channels, height, width)
        return (self.batch, channels, *self.symbolic_sides(height, width))


def _known(shapes: Shapes, value: ir.Value) -> tuple[int, ...]:
    shape = shapes.get(value.name or "")
    if shape is None:
        raise ExportError(
            f"the shape of '{value.name}' does not follow from the image's: export the network without "
            "shapes that are computed at run time"
        )
    return shape


def _fraction(name: str, whole: int, part: int) -> str:
    if whole == part:
        return name
    return f"{name}/{whole // part}" if whole % part == 0 else f"{name} {whole}->{part}"


def probe_size(multiple: int) -> tuple[int, int]:
    """Height and width of the image that shapes are inferred for; both are multiples of this number."""
    return PROBE_ROWS * multiple, PROBE_COLUMNS * multiple


def find_reverse_path(
    model: ir.Model,
    M: ir.Value,
    stop_stride: int,
    multiple: int = USUAL_MULTIPLE,
    or_coarser: bool = False,
    *,
    split_stride: int | None = None,
    stop_early: bool = False,
    batch: int = 1,
    size: tuple[int, int] | None = None,
) -> ReversePath:
    """Find the layers between the class response maps and the stop at this stride.

    Args:
        model: The classifier.
        M: Its class response maps.
        stop_stride: Image pixels per cell of the Peak Response Maps.
        multiple: What the sides of all images are multiples of.
        or_coarser: Take the next larger stride if there is no layer at this one.
        split_stride: Image pixels per cell of the maps down to which peaks are walked apart; None walks each
            of them all the way.
        stop_early: Stop at the first layer of the stop's stride that the walk reaches, not at the last.
        batch: Images that go in at once.
        size: Height and width of the only images that the graphs have to take; None leaves them free.

    Raises:
        ExportError: If M is not made by a 1×1 convolution, or no value at these strides separates M from the
            image.
    """
    top = _top_convolution(M)
    image = model.graph.inputs[0]
    height, width = probe_size(multiple)
    shapes = infer_shapes(model, height, width)
    head = input_of(top)
    stop = choose_stop(image, head, stop_stride, shapes, or_coarser, early=stop_early)
    between = ancestors(head, carrying_inputs) & descendants(stop, carrying_inputs)
    nodes = tuple(node for node in reversed(model.graph) if node in between)
    turned = infer_shapes(model, width, height)
    split = None
    if split_stride is not None:
        if split_stride <= stop_stride:
            raise ExportError(
                f"peaks cannot share the way from stride {split_stride} to stride {stop_stride}: "
                "--split-stride has to be larger than --stop-stride"
            )
        split = choose_stop(image, head, split_stride, shapes, option="--split-stride")
    fixed = None if size is None else infer_shapes(model, *size)
    return ReversePath(top, stop, nodes, shapes, turned, (height, width), split, batch, fixed)


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

    Only values that every path from the image to the head runs through qualify (in a residual block that is
    its output), and of a layer only what comes out of its activation. The nearest to the image is taken
    because every further layer at the same stride smooths the checkerboard that a strided convolution leaves
    in its input. ``early`` takes the one nearest to the head instead: fewer layers are left to walk.

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
    for value in separators(image, head, carrying_inputs):
        moves_on = any(node.op_type in UNFINISHED for node in value.consumers())
        if value is not image and (moves_on or activation_of(value) is not None):
            continue
        # layers without padding lose some cells
        found.add(round(_known(shapes, image)[2] / _known(shapes, value)[2]))
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


def infer_shapes(model: ir.Model, height: int, width: int) -> Shapes:
    """Shapes of the values for an image of this size, as far as they follow from it."""
    proto = ir.to_proto(model)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, 3, height, width), strict=True):
        dim.dim_value = size
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    sizes = {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in (*graph.input, *graph.value_info, *graph.output)
    }
    return {name: shape for name, shape in sizes.items() if all(shape)}


def _top_convolution(M: ir.Value) -> ir.Node:
    producer = M.producer()
    while producer is not None and producer.op_type in PASS_THROUGH | ACTIVATIONS:
        producer = input_of(producer).producer()
    if producer is None or producer.op_type != "Conv":
        found = "the graph's input" if producer is None else node_name(producer)
        raise ExportError(
            f"the class response maps have to come out of a 1×1 Conv, but they come out of {found}"
        )
    if constant_of(producer, 1).shape[2:] != (1, 1) or attributes_of(producer).get("group", 1) != 1:
        raise ExportError(
            f"{node_name(producer)}: the class response maps have to come out of a plain 1×1 Conv"
        )
    return producer
