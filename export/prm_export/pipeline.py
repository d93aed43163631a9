"""From a classifier's ONNX model to the two graphs of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray

from prm_export.emit import LOWEST
from prm_export.errors import ExportError
from prm_export.passes.at_peaks import compute_at_peaks
from prm_export.passes.backprop import build_backprop
from prm_export.passes.class_scores import add_class_scores, hand_out_class_scores, take_class_scores
from prm_export.passes.divide_last import divide_last
from prm_export.passes.gains import add_gains
from prm_export.passes.lazy_gains import move_gains
from prm_export.passes.merge_resizes import merge_resizes
from prm_export.passes.peak_find import add_peak_find
from prm_export.passes.phases import compute_in_phases
from prm_export.passes.simplify import simplify
from prm_export.passes.state_shapes import state, state_shapes
from prm_export.passes.weights import round_to_bytes, store_half
from prm_export.reverse_path import ReversePath, find_reverse_path
from prm_export.rules import RULES
from prm_export.shapes import USUAL_MULTIPLE
from prm_export.share_kernels import NO_SPREAD, ShareKernels
from prm_export.walks import ancestors, descendants
from prm_runtime.manifest import GraphSpec, TensorSpec

CLASS_MAPS = "class_maps"


@dataclass(frozen=True)
class GraphOptions:
    """What the two graphs depend on beside the classifier.

    Attributes:
        aggregation: Name of the aggregation that makes class scores of M; None where the classifier has an
            output ``class_scores`` itself.
        aggregation_options: Its parameters.
        image_minimum: Smallest possible value per channel of the normalised image.
        window: Side of the peak window in cells.
        max_peaks: Rows of the peak table.
        peak_threshold: Lowest response of a peak.
        stop_stride: Image pixels per cell of the Peak Response Maps.
        or_coarser: Take the next larger stride if the network has no layer at this one.
        stop_early: Stop at the first layer of that stride that the walk reaches, not at the last.
        half_weights: Store weights as float16.
        byte_weights: Round weights to what int8 holds.
        split_stride: Image pixels per cell of the maps down to which peaks are back-propagated apart (share
            splitting); None back-propagates each of them all the way.
        split_reach: Cells around a peak that its walk has to itself, in place of ``split_stride``.
        share_kernels: What peaks that join at a reach share by; a Gaussian if None.
        batch: Images that the forward graph takes at once.
        fixed_size: Height and width of the only images that the graphs take; None leaves them free.
        lazy_gains: Let the reverse graph compute the gains, so that only frames with peaks pay for them.
        multiple: What the sides of images have to be multiples of.
        rules: How peaks are back-propagated, a key of ``prm_export.rules.RULES``.
    """

    image_minimum: NDArray[np.float32]
    aggregation: str | None = "peak"
    aggregation_options: Mapping[str, Any] = field(default_factory=dict)
    window: int = 3
    max_peaks: int = 64
    peak_threshold: float = LOWEST
    stop_stride: int = 2
    or_coarser: bool = False
    stop_early: bool = False
    half_weights: bool = True
    byte_weights: bool = False
    split_stride: int | None = None
    split_reach: int | None = None
    share_kernels: ShareKernels | None = None
    batch: int = 1
    fixed_size: tuple[int, int] | None = None
    rules: str = "paper"
    multiple: int = USUAL_MULTIPLE
    lazy_gains: bool = False


@dataclass(frozen=True)
class Graphs:
    """The graphs of a bundle, and what they were made from.

    Attributes:
        classifier: The simplified classifier with its weights as stored, class maps its one output: what the
            oracle runs.
        stop: Name of the value in it at which the reverse pass ends.
        stop_stride: Image pixels per cell there.
        split: Name of the value in it at which the peaks' ways join, if they do.
        spread: How probability there spreads on, to work out each peak's share.
        forward: Image -> class maps, scores, peak table, features, gains.
        backprop: Peaks and gains -> Peak Response Maps.
    """

    classifier: onnx.ModelProto
    stop: str
    stop_stride: int
    forward: onnx.ModelProto
    backprop: onnx.ModelProto
    split: str | None = None
    spread: ShareKernels = NO_SPREAD


def build_graphs(classifier: onnx.ModelProto, options: GraphOptions) -> Graphs:
    """Run all passes.

    Args:
        classifier: Model with input ``image`` [1, 3, H, W], first output the class response maps [1, C, h, w]
            and any number of further outputs, which pass through as feature maps.
        options: What to build.

    Raises:
        ExportError: If the network holds what peak back-propagation has no rule for.
    """
    rules = RULES[options.rules]
    shared = options.split_stride is not None or options.split_reach is not None
    if shared and not rules.carries_gain:
        raise ExportError("--prm shared needs a linear walk: use it with --rule paper")
    model = merge_resizes(simplify(ir.from_proto(classifier), rules.folds))
    scores = None if options.aggregation is not None else take_class_scores(model)
    if options.byte_weights:
        model = round_to_bytes(model, model.graph.outputs[0])
    elif options.half_weights:
        model = store_half(model)
    plain = _class_maps_alone(model)
    M = model.graph.outputs[0]
    path = find_reverse_path(
        model,
        M,
        options.stop_stride,
        options.multiple,
        options.or_coarser,
        split_stride=options.split_stride,
        split_reach=options.split_reach,
        share_kernels=options.share_kernels,
        stop_early=options.stop_early,
        batch=options.batch,
        size=options.fixed_size,
    )
    _name_sides(model, path)
    if rules.prepare is not None:
        path = rules.prepare(model, path)
    features = list(model.graph.outputs[1:])
    del model.graph.outputs[1:]
    if scores is None:
        add_class_scores(model, M, options.aggregation or "", options.aggregation_options)
    else:
        hand_out_class_scores(model, M, scores)
    add_peak_find(model, M, options.window, options.max_peaks, options.peak_threshold)
    model.graph.outputs.extend(features)
    stop, split = path.stop.name or "", None if path.split is None else path.split.name
    stop_stride = path.stop_stride  # asked before passes give values other names
    gains = add_gains(model, M, path, options.image_minimum, rules)
    backprop = build_backprop(path, gains, in_phases=options.lazy_gains)
    if options.lazy_gains:
        model, backprop = move_gains(model, backprop, gains, path)
    backprop = compute_at_peaks(compute_in_phases(backprop))
    state_shapes(backprop)
    divide_last(backprop)
    model.graph.name = "prm_forward"
    return Graphs(plain, stop, stop_stride, _finish(model), _finish(backprop), split, path.spread)


def graph_spec(file: str, model: onnx.ModelProto) -> GraphSpec:
    """The signature of a graph for the manifest."""
    return GraphSpec(
        file=file,
        inputs=tuple(map(_tensor_spec, model.graph.input)),
        outputs=tuple(map(_tensor_spec, model.graph.output)),
    )


def _class_maps_alone(model: ir.Model) -> onnx.ModelProto:
    alone = ir.from_proto(ir.to_proto(model))
    del alone.graph.outputs[1:]
    common_passes.RemoveUnusedNodesPass()(alone)
    return ir.to_proto(alone)


def _name_sides(model: ir.Model, path: ReversePath) -> None:
    outputs = [value for value in model.graph.outputs if len(path.shapes.get(value.name or "", ())) == 4]
    of_maps = set().union(*map(ancestors, outputs))
    for node in descendants(model.graph.inputs[0]):
        for value in node.outputs:
            value.shape = None  # as stated for another batch and other sides
            if node in of_maps and len(path.shapes.get(value.name or "", ())) == 4:
                state(value, path.declared(value))
    for value in (model.graph.inputs[0], *model.graph.outputs):
        value.shape = ir.Shape(path.declared(value))


def _finish(model: ir.Model) -> onnx.ModelProto:
    common_passes.RemoveUnusedNodesPass()(model)
    common_passes.ClearMetadataAndDocStringPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    return TensorSpec(
        name=value.name,
        dtype=onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name,
        shape=tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim),
    )
