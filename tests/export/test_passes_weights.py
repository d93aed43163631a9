from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from tests.fixtures.small_nets import Compiled, SmallNet, options, random_image

from prm_export.passes.weights import store_half
from prm_export.pipeline import build_graphs
from prm_runtime.backends import create_backend


def wide_net() -> onnx.ModelProto:
    """A net with one large weight (64 × 64) among small ones."""
    net = SmallNet()
    return net.classifier(net.relu(net.conv(net.relu(net.conv("image", 64, (1, 1))), 64, (1, 1))))


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    return ir.to_proto(store_half(ir.from_proto(model)))


def class_maps(model: onnx.ModelProto) -> NDArray[np.float32]:
    graph = create_backend("onnxruntime", 1).compile(model.SerializeToString())
    return graph.run({"image": random_image()})["class_maps"]


def large_weight(model: onnx.ModelProto) -> onnx.TensorProto:
    (tensor,) = (tensor for tensor in model.graph.initializer if np.prod(tensor.dims) == 64 * 64)
    return tensor


def test_large_weights_are_stored_as_float16_and_small_ones_are_left() -> None:
    model = wide_net()
    stored = {tensor.name: tensor for tensor in halved(model).graph.initializer}
    assert len(stored) == len(model.graph.initializer)
    for tensor in model.graph.initializer:
        if tensor.name == large_weight(model).name:
            half = numpy_helper.to_array(stored[f"{tensor.name}_float16"])
            np.testing.assert_array_equal(half, numpy_helper.to_array(tensor).astype(np.float16))
        else:
            np.testing.assert_array_equal(
                numpy_helper.to_array(stored[tensor.name]), numpy_helper.to_array(tensor)
            )


def test_the_arithmetic_stays_float32() -> None:
    model = wide_net()
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    tensor = large_weight(rounded)
    half = numpy_helper.to_array(tensor).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(half.astype(np.float32), tensor.name))
    np.testing.assert_array_equal(class_maps(halved(model)), class_maps(rounded))


def test_weights_beyond_float16_are_left() -> None:
    model = wide_net()
    tensor = large_weight(model)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1e6), tensor.name))
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in halved(model).graph.initializer}


def test_the_reverse_graph_stores_what_the_classifier_stores() -> None:
    model = wide_net()
    sizes = {}
    for half in (True, False):
        graphs = build_graphs(model, options(half_weights=half))
        sizes[half] = graphs.backprop.ByteSize()
        peaks, prms = Compiled(graphs).maps(random_image())
        assert prms.dtype == np.float32
        assert len(peaks) > 0
    assert sizes[False] - sizes[True] > 0.9 * 2 * 64 * 64
