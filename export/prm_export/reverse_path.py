"""Which part of a classifier peak back-propagation walks: from the class response maps down to the stop."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from prm_export.emit import attributes_of, constant_of, input_of, node_name
from prm_export.ends import choose_join, choose_stop
from prm_export.errors import ExportError
from prm_export.shapes import USUAL_MULTIPLE, Shapes, infer_shapes, known_shape, probe_size
from prm_export.share_kernels import NO_SPREAD, ShareKernels, gaussian
from prm_export.walks import ACTIVATIONS, PASS_THROUGH, ancestors, carrying_inputs, descendants

SPREAD = 1.0
"""Cells by which a walk that is cut after its first layers would spread on its way to the stop, a standard
deviation. Measured on EfficientNet-Lite0 from stride 32 to 16: .7 and 1.3 leave maps less like exact ones,
kernels that were fitted to the network more like them."""


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
        split: The value down to which peaks are walked apart, if they share the rest of the way.
        spread: How a peak's probability spreads on that rest of the way, to work out its share.
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
    spread: ShareKernels = NO_SPREAD
    batch: int = 1
    fixed_shapes: Shapes | None = None

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        """Shape of a value at the probe size."""
        return known_shape(self.shapes, value)

    def turned_shape(self, value: ir.Value) -> tuple[int, ...]:
        """Shape of a value at the probe size turned by 90 degrees."""
        return known_shape(self.turned_shapes, value)

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
            return (self.batch, *known_shape(self.fixed_shapes, value)[1:])
        _, channels, height, width = self.shape(value)
        if self.turned_shape(value) == self.shape(value):  # a gate: one number for all cells
            return (self.batch, channels, height, width)
        return (self.batch, channels, *self.symbolic_sides(height, width))


def _fraction(name: str, whole: int, part: int) -> str:
    if whole == part:
        return name
    return f"{name}/{whole // part}" if whole % part == 0 else f"{name} {whole}->{part}"


def find_reverse_path(
    model: ir.Model,
    M: ir.Value,
    stop_stride: int,
    multiple: int = USUAL_MULTIPLE,
    or_coarser: bool = False,
    *,
    split_stride: int | None = None,
    split_reach: int | None = None,
    share_kernels: ShareKernels | None = None,
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
        split_reach: Cells of the class response maps around a peak that its walk has to itself, in place of
            ``split_stride``.
        share_kernels: What peaks that join at a reach share by; a Gaussian if None.
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
    split, spread = None, NO_SPREAD
    if split_reach is not None:
        split = choose_join(image, head, nodes, split_reach, shapes)
        spread = share_kernels or gaussian(SPREAD)
        if split is stop or split.producer() not in between:
            raise ExportError(
                f"a walk to stride {stop_stride} ends before it reaches farther than {split_reach} cells: "
                "use --prm exact, or a smaller --split-reach"
            )
        channels = known_shape(shapes, split)[1]
        if spread.mix is not None and len(spread.mix) != channels:
            raise ExportError(
                f"the share kernels were fitted to {len(spread.mix)} channels, and there are {channels} "
                "where peaks join here: run prm-export fit-shares for this network"
            )
    elif split_stride is not None:
        if split_stride <= stop_stride:
            raise ExportError(
                f"peaks cannot share the way from stride {split_stride} to stride {stop_stride}: "
                "--split-stride has to be larger than --stop-stride"
            )
        split = choose_stop(image, head, split_stride, shapes, option="--split-stride")
    fixed = None if size is None else infer_shapes(model, *size)
    return ReversePath(top, stop, nodes, shapes, turned, (height, width), split, spread, batch, fixed)


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
