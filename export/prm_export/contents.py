"""What is inside a bundle, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from pydantic import BaseModel

from prm_export.errors import ExportError
from prm_export.macs import count_macs, shapes_for
from prm_runtime.bundle import Bundle
from prm_runtime.manifest import GraphSpec, Manifest, TensorSpec
from prm_runtime.preprocess import input_size


class TensorInfo(BaseModel):
    """An input or output: ``shape`` as declared, ``size`` for the measured picture (None: not known)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    size: tuple[int, ...] | None


class GraphInfo(BaseModel):
    """One graph.

    Attributes:
        file: Its name in the bundle.
        bytes: Its size, unpacked.
        opset: Opset per domain.
        nodes: Number of nodes, those of functions not counted.
        operators: Nodes per operator.
        weights: Numbers stored in it, per type.
        macs: Multiply-accumulates of one run; of a reverse graph those that do not depend on peaks.
        macs_per_peak: What each peak adds; None for a graph that takes no peaks.
        inputs: Its inputs.
        outputs: Its outputs.
    """

    file: str
    bytes: int
    opset: dict[str, int]
    nodes: int
    operators: dict[str, int]
    weights: dict[str, int]
    macs: int | None
    macs_per_peak: int | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class Contents(BaseModel):
    """A bundle: its manifest and what its graphs hold, for pictures of ``measured_at`` (height, width)."""

    path: str
    bytes: int
    measured_at: tuple[int, int]
    parameters: int
    graphs: tuple[GraphInfo, ...]
    manifest: Manifest


def contents(bundle: Bundle) -> Contents:
    """Look into a bundle.

    Raises:
        ExportError: If a graph is no ONNX model.
        BundleError: If a member is damaged.
    """
    manifest = bundle.manifest
    size = manifest.preprocessing.size
    height, width = input_size(size, size, manifest.preprocessing)
    forward = _load(bundle, manifest.forward.file)
    image = tuple(
        side if isinstance(side, int) else chosen
        for side, chosen in zip(manifest.forward.inputs[0].shape, (1, 3, height, width), strict=True)
    )
    sizes = shapes_for(forward, {manifest.forward.inputs[0].name: image})
    graphs = [_graph_info(bundle, manifest.forward, forward, sizes)]
    graphs.append(_reverse_info(bundle, sizes))
    if manifest.fused is not None:
        fused = _load(bundle, manifest.fused.file)
        sizes = shapes_for(fused, {manifest.fused.inputs[0].name: image})
        graphs.append(_graph_info(bundle, manifest.fused, fused, sizes))
    return Contents(
        path=str(bundle.path),
        bytes=bundle.path.stat().st_size,
        measured_at=(height, width),
        parameters=sum(graphs[0].weights.values()),
        graphs=tuple(graphs),
        manifest=manifest,
    )


def _reverse_info(bundle: Bundle, forward_sizes: dict[str, tuple[int, ...]]) -> GraphInfo:
    spec = bundle.manifest.backprop
    model = _load(bundle, spec.file)
    grid = np.array(forward_sizes.get("class_maps", ())[2:], np.int64)
    gains = {tensor.name: forward_sizes.get(tensor.name, ()) for tensor in spec.inputs}
    sizes, work = {}, []
    for peaks in (2, 1):
        given = {name: (1, *size[1:]) for name, size in gains.items()} | {"peaks": (peaks, 3)}
        sizes = shapes_for(model, given, {"gain_grid": grid})
        work.append(count_macs(model, sizes))
    info = _graph_info(bundle, spec, model, sizes | forward_sizes | {"peaks": (1, 3)})
    if work[0] is None or work[1] is None:
        return info.model_copy(update={"macs": None})
    per_peak = work[0] - work[1]
    return info.model_copy(update={"macs": work[1] - per_peak, "macs_per_peak": per_peak})


def _graph_info(
    bundle: Bundle, spec: GraphSpec, model: onnx.ModelProto, sizes: dict[str, tuple[int, ...]]
) -> GraphInfo:
    def tensors(specs: tuple[TensorSpec, ...]) -> tuple[TensorInfo, ...]:
        return tuple(
            TensorInfo(**tensor.model_dump(), size=sizes.get(tensor.name))
            if any(isinstance(side, str) for side in tensor.shape)
            else TensorInfo(**tensor.model_dump(), size=tensor.shape)
            for tensor in specs
        )

    weights: Counter[str] = Counter()
    for tensor in _tensors(model):
        if tensor.dims and tensor.data_type in _WEIGHT_TYPES:
            weights[_WEIGHT_TYPES[tensor.data_type]] += int(np.prod(tensor.dims))
    operators = Counter(f"{node.domain}::{node.op_type}".removeprefix("::") for node in model.graph.node)
    return GraphInfo(
        file=spec.file,
        bytes=len(bundle.read(spec.file)),
        opset={opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        nodes=len(model.graph.node),
        operators=dict(operators.most_common()),
        weights=dict(weights),
        macs=count_macs(model, sizes),
        macs_per_peak=None,
        inputs=tensors(spec.inputs),
        outputs=tensors(spec.outputs),
    )


_WEIGHT_TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT32: "int32",
}


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.name == "value")


def _load(bundle: Bundle, file: str) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(bundle.read(file))
    except DecodeError:
        raise ExportError(f"{bundle.path}: {file} is no ONNX model; export the bundle again") from None
