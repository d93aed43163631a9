"""Class scores in ONNX Runtime, held to the aggregations that networks are trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.oracles import soft_proposal as oracle

from prm_export.errors import ExportError
from prm_export.passes.class_scores import AGGREGATIONS, add_class_scores
from prm_runtime.backends import create_backend
from prm_train import aggregation

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("peak", {"window": window, "filter": rule})
        for window in (1, 3, 5)
        for rule in ("median", "mean", "none")
    ),
    ("average", {}),
    ("max", {}),
    ("lse", {"r": 0.5}),
    ("lse", {"r": 40.0}),
    ("maxmin", {"k_plus": 0.35, "k_minus": 0.1, "alpha": 0.3}),
    ("maxmin", {"k_plus": 1.0, "k_minus": 0.001, "alpha": -1.5}),
    ("maxmin", {"k_plus": 0.5, "k_minus": 0.25, "alpha": 1.0}),
]
RNG = np.random.default_rng(0)
MAPS = {
    "an even number of cells": RNG.normal(0, 5, (1, 4, 6, 7)),
    "an odd number of cells": RNG.normal(0, 5, (1, 4, 5, 7)),
    "one cell": RNG.normal(0, 5, (1, 4, 1, 1)),
    "ties": RNG.integers(-2, 3, (1, 4, 6, 6)),
    "constant": np.full((1, 2, 2, 7), 0.1),  # whose float32 mean is above 0.1
    "large": RNG.normal(0, 5, (1, 4, 6, 6)) * 100,
}


def model_of(name: str, options: Mapping[str, Any]) -> onnx.ModelProto:
    M = helper.make_tensor_value_info("class_maps", TensorProto.FLOAT, [1, "C", "h", "w"])
    graph = helper.make_graph([], "maps", [M], [])
    model = ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    proto = ir.to_proto(add_class_scores(model, model.graph.inputs[0], name, options))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def scores_of(name: str, options: Mapping[str, Any], M: NDArray[np.float32]) -> NDArray[np.float32]:
    graph = create_backend("onnxruntime", 1).compile(model_of(name, options).SerializeToString())
    return graph.run({"class_maps": M})["class_scores"]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[f"{name} {opt}" for name, opt in OPTIONS])
@pytest.mark.parametrize("M", MAPS.values(), ids=MAPS)
def test_scores_are_those_of_training(name: str, options: dict[str, Any], M: NDArray[np.float64]) -> None:
    maps = M.astype(np.float32)
    expected = aggregation.create_aggregation(name, **options)(torch.from_numpy(maps)).numpy()
    found = scores_of(name, options, maps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def classifier_of(K: int, kernel: int = 1) -> tuple[ir.Model, NDArray[np.float32], NDArray[np.float32]]:
    """A graph of a class layer alone, with its weight [3, K] and bias [3]."""
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(3, K, kernel, kernel)).astype(np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["features", "weight", "bias"], ["class_maps"])],
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, K, "h", "w"])],
        [helper.make_tensor_value_info("class_maps", TensorProto.FLOAT, [1, 3, "h2", "w2"])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    opset = helper.make_opsetid("", 20)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[opset], ir_version=10))
    return model, weight[:, :, 0, 0], bias


@pytest.mark.parametrize("options", [{}, {"epsilon": 0.5}])
@pytest.mark.parametrize("shape", [(6, 5, 5), (6, 3, 7), (40, 2, 3)])
def test_soft_proposals_are_those_of_the_walk_and_of_training(
    shape: tuple[int, int, int], options: dict[str, float]
) -> None:
    U = np.random.default_rng(2).random(shape, np.float32)
    model, weight, bias = classifier_of(shape[0])
    proto = ir.to_proto(add_class_scores(model, model.graph.outputs[0], "spn", options))
    onnx.checker.check_model(proto, full_check=True)
    outputs = create_backend("onnxruntime", 1).compile(proto.SerializeToString()).run({"features": U[None]})
    expected = oracle.scores(
        U.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64), **options
    )
    np.testing.assert_allclose(outputs["class_scores"][0], expected, rtol=1e-3, atol=1e-3)
    trained = aggregation.create_aggregation("spn", **options)
    s = aggregation.class_scores(trained, torch.from_numpy(outputs["class_maps"]), torch.from_numpy(U[None]))
    np.testing.assert_allclose(outputs["class_scores"], s.numpy(), rtol=1e-5, atol=1e-5)


def test_soft_proposals_of_features_that_are_all_alike_are_the_average() -> None:
    model, weight, bias = classifier_of(4)
    proto = ir.to_proto(add_class_scores(model, model.graph.outputs[0], "spn", {}))
    U = np.full((1, 4, 3, 5), 0.25, np.float32)
    found = create_backend("onnxruntime", 1).compile(proto.SerializeToString()).run({"features": U})
    np.testing.assert_allclose(found["class_scores"][0], weight.sum(1) * 0.25 + bias, rtol=1e-5, atol=1e-5)


def test_soft_proposals_need_a_class_layer() -> None:
    with pytest.raises(ExportError, match="'spn' reads the features under the class layer, which is no 1×1"):
        model_of("spn", {})
    model, *_ = classifier_of(4, kernel=3)
    with pytest.raises(ExportError, match="no 1×1 convolution"):
        add_class_scores(model, model.graph.outputs[0], "spn", {})


@pytest.mark.parametrize("name", sorted({*aggregation.AGGREGATIONS} - {"spn"}))
def test_every_aggregation_takes_the_options_that_checkpoints_record(name: str) -> None:
    recorded = aggregation.aggregation_settings(name)
    assert recorded.pop("name") == name
    M = MAPS["an even number of cells"].astype(np.float32)
    np.testing.assert_allclose(scores_of(name, recorded, M), scores_of(name, {}, M))


def test_no_aggregation_is_without_its_onnx_form() -> None:
    assert set(AGGREGATIONS) == set(aggregation.AGGREGATIONS)


def test_an_unknown_aggregation_is_named() -> None:
    with pytest.raises(
        ExportError, match=r"aggregates by 'vote', .* known are peak, average, max, lse, maxmin, spn"
    ):
        model_of("vote", {})


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ExportError, match=r"aggregation 'max' does not take .* 'window'"):
        model_of("max", {"window": 3})
