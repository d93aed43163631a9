from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from tests.fixtures.small_nets import Compiled, SmallNet, assert_maps_agree, loop_maps, options, random_image

from prm_export.passes.simplify import simplify
from prm_export.pipeline import build_graphs
from prm_runtime.backends import create_backend


def class_maps(model: onnx.ModelProto) -> np.ndarray:
    return create_backend().compile(model.SerializeToString()).run({"image": random_image()})["class_maps"]


def depthwise_with_norm(net: SmallNet) -> str:
    return net.batch_norm(net.conv(net.batch_norm(net.conv("image", 6)), 6, group=6))


def padded_convolution(net: SmallNet) -> str:
    return net.conv(net.pad(net.relu(net.conv("image")), 0, 1, 2, 1), pads=(0, 0, 0, 0))


def dropout(net: SmallNet) -> str:
    return net.node("Dropout", [net.conv("image")], 4)


NETS: dict[str, tuple[Callable[[SmallNet], str], set[str]]] = {
    "batch norm": (depthwise_with_norm, {"Conv", "Relu"}),
    "padding": (padded_convolution, {"Conv", "Relu"}),
    "dropout": (dropout, {"Conv", "Relu"}),
}


@pytest.mark.parametrize(("layers", "left"), NETS.values(), ids=NETS)
def test_what_training_left_is_folded(layers: Callable[[SmallNet], str], left: set[str]) -> None:
    net = SmallNet(1)
    before = net.classifier(net.relu(layers(net)))
    expected = class_maps(before)
    after = ir.to_proto(simplify(ir.from_proto(before)))
    assert {node.op_type for node in after.graph.node} - {"Constant"} == left
    np.testing.assert_allclose(class_maps(after), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_convolution_and_its_batch_norm_are_one_affine_layer(seed: int) -> None:
    net = SmallNet(seed)
    x = net.relu(net.batch_norm(net.conv("image", 6)))
    x = net.add(x, net.batch_norm(net.conv(x, 6, group=6)))
    apart = net.classifier(net.relu(x))
    graphs = build_graphs(apart, options())
    assert "BatchNormalization" not in {node.op_type for node in graphs.classifier.graph.node}
    image = random_image(seed)
    peaks, prms = Compiled(graphs).maps(image)
    assert_maps_agree(prms, loop_maps(fold_batch_norm(apart), image, peaks, graphs.stop))


def fold_batch_norm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scale each convolution by the batch norm that follows it."""
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    makers = {node.output[0]: node for node in folded.graph.node}
    for norm in [node for node in folded.graph.node if node.op_type == "BatchNormalization"]:
        conv = makers[norm.input[0]]
        scale, shift, mean, variance = (weights[name] for name in norm.input[1:])
        slope = scale / np.sqrt(variance + norm.attribute[0].f)
        weights[conv.input[1]] = weights[conv.input[1]] * slope[:, None, None, None]
        weights[conv.input[2]] = (weights[conv.input[2]] - mean) * slope + shift
        conv.output[0] = norm.output[0]
        folded.graph.node.remove(norm)
    del folded.graph.initializer[:]
    folded.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    return folded
