"""Graphs in float16 and int8 against those in float32."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from tests.fixtures.small_nets import Compiled, SmallNet, best_peaks, options, random_image

from prm_export.errors import ExportError
from prm_export.passes.weights import SMALLEST
from prm_export.pipeline import Graphs, build_graphs
from prm_export.precision import Precision, lower_precision
from prm_runtime.backends import BACKENDS

SIZE = (48, 64)
IMAGES = [random_image(seed, SIZE) for seed in range(6)]
LOWER = (Precision.fp16, Precision.int8)
# of the largest response; measured 0.0013 and 0.053
MAPS = {Precision.fp16: 0.01, Precision.int8: 0.12}
CORRELATION = {Precision.fp16: 0.999, Precision.int8: 0.9}


def classifier() -> onnx.ModelProto:
    """Residual and depthwise layers, ReLU and Clip, with weights large enough to be stored otherwise."""
    net = SmallNet(1)
    stem = net.clip(net.conv("image", 16, pads=(0, 0, 1, 1), strides=(2, 2)), high=6.0)
    wide = net.clip(net.conv(stem, 48, (1, 1)), high=6.0)
    block = net.conv(net.clip(net.conv(wide, 48, group=48), high=6.0), 16, (1, 1))
    joined = net.add(block, stem)
    return net.classifier(net.relu(net.conv(joined, 32, strides=(2, 2))))


@pytest.fixture(scope="module")
def exact() -> Graphs:
    return build_graphs(classifier(), options(1, half_weights=False))


@pytest.fixture(scope="module")
def lowered(exact: Graphs) -> dict[Precision, Graphs]:
    half = build_graphs(classifier(), options(1))
    return {
        Precision.fp16: lower_precision(half, Precision.fp16),
        Precision.int8: lower_precision(
            build_graphs(classifier(), options(1, byte_weights=True)), Precision.int8, IMAGES
        ),
    }


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", LOWER)
def test_maps_and_peaks_are_close_to_float32(
    exact: Graphs, lowered: dict[Precision, Graphs], precision: Precision, engine: str
) -> None:
    if BACKENDS[engine].missing():
        pytest.skip(f"{engine} is not installed")
    reference, lower = Compiled(exact), Compiled(lowered[precision], engine)
    image = random_image(99, SIZE)
    expected, found = reference.forward(image), lower.forward(image)
    scale = np.abs(expected["class_maps"]).max()
    assert np.abs(found["class_maps"] - expected["class_maps"]).max() <= MAPS[precision] * scale
    assert all(value.dtype == expected[name].dtype for name, value in found.items())
    peaks = best_peaks(expected)
    prms = lower.backprop(peaks, found)
    np.testing.assert_allclose(prms.sum((1, 2)), 1, atol=1e-4)
    for a, b in zip(prms, reference.backprop(peaks, expected), strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] >= CORRELATION[precision]


@pytest.mark.parametrize(("precision", "share"), [(Precision.fp16, 0.6), (Precision.int8, 0.45)])
def test_weights_take_less_room(
    exact: Graphs, lowered: dict[Precision, Graphs], precision: Precision, share: float
) -> None:
    def weight_bytes(graphs: Graphs) -> int:
        total = 0
        for model in (graphs.forward, graphs.backprop):
            constants = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
            arrays = [numpy_helper.to_array(tensor) for tensor in (*model.graph.initializer, *constants)]
            total += sum(array.nbytes for array in arrays if array.size >= SMALLEST)
        return total

    assert weight_bytes(lowered[precision]) <= share * weight_bytes(exact)


def test_float16_touches_the_trunk_alone(lowered: dict[Precision, Graphs]) -> None:
    forward = onnx.shape_inference.infer_shapes(lowered[Precision.fp16].forward)
    types = {info.name: info.type.tensor_type.elem_type for info in forward.graph.value_info}
    types |= {info.name: info.type.tensor_type.elem_type for info in forward.graph.output}
    divisions = [node for node in forward.graph.node if node.op_type == "Div"]
    assert divisions
    assert all(types[node.output[0]] != TensorProto.FLOAT16 for node in divisions)
    halves = [
        n for n in forward.graph.node if n.op_type == "Conv" and types[n.output[0]] == TensorProto.FLOAT16
    ]
    assert len(halves) == 5
    producers = {node.output[0]: node for node in forward.graph.node}
    for node in divisions:
        assert producers[node.input[1]].op_type != "Cast"  # no detour through float16


def test_int8_computes_gains_from_what_the_trunk_computes_with(lowered: dict[Precision, Graphs]) -> None:
    """Evidence and weights of a normaliser are the quantised ones: R · conv(U⁺, W⁺) gives V⁺ back."""
    graphs = lowered[Precision.int8]
    counts = operators(graphs.forward)
    assert counts["QuantizeLinear"] >= 5
    integers = [t for t in graphs.forward.graph.initializer if t.data_type == TensorProto.INT8 and t.dims]
    assert len([t for t in integers if len(t.dims) == 4]) == 5
    producers = {node.output[0]: node for node in graphs.forward.graph.node}
    relus = [node for node in graphs.forward.graph.node if node.op_type == "Relu"]
    restored = [node for node in relus if producers.get(node.input[0], node).op_type == "Mul"]
    assert len(restored) == 5


def test_int8_walks_back_over_the_weights_that_it_came_by(lowered: dict[Precision, Graphs]) -> None:
    """A weight that is 0 forward is 0 on the way back, where its normaliser may be 0."""
    graphs = lowered[Precision.int8]
    forward = [numpy_helper.to_array(t) for t in graphs.forward.graph.initializer]
    weights = [W.astype(int) for W in forward if W.dtype == np.int8 and W.ndim == 4 and W.size >= SMALLEST]
    constants = [node.attribute[0].t for node in graphs.backprop.graph.node if node.op_type == "Constant"]
    bytes_ = [W.astype(int) for W in map(numpy_helper.to_array, constants) if W.dtype == np.uint8]
    assert len(weights) == len(bytes_) == 1
    positive = np.maximum(weights[0], 0)
    assert any(np.array_equal(bytes_[0], turned) for turned in (positive, positive.swapaxes(0, 1)))


def test_int8_without_pictures_says_what_it_needs(exact: Graphs) -> None:
    with pytest.raises(ExportError, match="--calibrate FOLDER"):
        lower_precision(exact, Precision.int8)
