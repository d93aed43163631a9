from __future__ import annotations

import re

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from tests.fixtures.small_nets import (
    IMAGE_MINIMUM,
    SIZE,
    Compiled,
    SmallNet,
    options,
    random_image,
    residual_net,
)

from prm_export.errors import ExportError
from prm_export.pipeline import build_graphs
from prm_export.rules.base import EPSILON


def test_all_operators_without_a_rule_are_named() -> None:
    net = SmallNet()
    gate = net.node("Sigmoid", [net.conv("image")], 4)
    x = net.node("Erf", [net.relu(net.conv(gate))], 4)
    with pytest.raises(ExportError) as error:
        build_graphs(net.classifier(net.relu(net.conv(x))), options())
    assert "no rule for Erf 'erf_4', Sigmoid 'sigmoid_1': replace these layers" in str(error.value)
    assert "\n" not in str(error.value)


def test_all_layers_that_their_rules_do_not_cover_are_named() -> None:
    net = SmallNet()
    x = net.conv("image")
    x = net.add(x, net.constant((1, 4, 1, 1)))
    x = net.node("Concat", [x, x], 4, axis=2)
    with pytest.raises(ExportError, match=r"Concat 'concat_2': only .*; Add 'add_1': only "):
        build_graphs(net.classifier(net.relu(net.conv(x))), options())


def test_an_operator_between_the_image_and_the_stop_needs_no_rule() -> None:
    net = SmallNet()
    x = net.node("Sigmoid", [net.conv("image", strides=(2, 2))], 4)
    pooled = net.pool("MaxPool", net.relu(net.conv(x)), strides=(2, 2))
    build_graphs(net.classifier(net.relu(net.conv(pooled))), options(stop_stride=4))


@pytest.mark.parametrize("op_type", ["Concat", "Pad", "Relu"])
def test_the_image_is_not_handed_on_as_if_black_were_zero(op_type: str) -> None:
    net = SmallNet()
    moved = {
        "Concat": lambda: net.concat("image", net.conv("image")),
        "Pad": lambda: net.pool("MaxPool", net.pad("image", 0, 0, 1, 1)),
        "Relu": lambda: net.relu("image"),
    }[op_type]()
    classifier = net.classifier(net.relu(net.conv(moved)))
    message = re.escape(f"{op_type} '{op_type.lower()}_") + r"\d' hands on the image as it is"
    with pytest.raises(ExportError, match=message):
        build_graphs(classifier, options())


def test_gain_maps_are_activation_over_positive_evidence() -> None:
    net = SmallNet(3)
    hidden = net.relu(net.conv("image", 6))
    linear = net.conv(hidden, 4, (1, 1))
    classifier, image = net.classifier(linear), random_image()
    outputs = Compiled(build_graphs(classifier, options())).forward(image)
    gains = {name: value.shape for name, value in outputs.items() if name.startswith("gain_")}
    assert gains == {
        "gain_grid": (2,),
        "gain_stop": (1, 3, *SIZE),
        "gain_000": (1, 4, *SIZE),
        "gain_001": (1, 6, *SIZE),
    }
    assert outputs["gain_grid"].tolist() == list(SIZE)
    np.testing.assert_allclose(outputs["gain_stop"], image - IMAGE_MINIMUM.reshape(1, 3, 1, 1))
    values = ReferenceEvaluator(classifier).run(None, {"image": image}, intermediate=True)
    W = numpy_helper.to_array(classifier.graph.initializer[2])[:, :, 0, 0]
    evidence = np.einsum("kc,nchw->nkhw", np.maximum(W, 0), np.maximum(values[hidden], 0))
    R = np.maximum(values[linear], 0) / (evidence + EPSILON)
    np.testing.assert_allclose(outputs["gain_000"], R, rtol=1e-4, atol=1e-6)


def test_gains_do_not_depend_on_the_stop_below_them() -> None:
    classifier, image = residual_net(), random_image()
    far, near = (Compiled(build_graphs(classifier, options(stride))).forward(image) for stride in (1, 4))
    shared = [name for name in near if name.startswith("gain_0")]
    assert shared
    for name in shared:
        np.testing.assert_allclose(far[name], near[name], rtol=1e-5, atol=1e-6)


def test_evidence_is_computed_once_per_value() -> None:
    graph = ir.from_proto(build_graphs(residual_net(), options()).forward).graph
    sources = [node.inputs[0] for node in graph if node.op_type == "Relu"]
    assert len(sources) == len(set(sources))
