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
from onnx import TensorProto, helper

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


@pytest.mark.parametrize("name", aggregation.AGGREGATIONS)
def test_every_aggregation_takes_the_options_that_checkpoints_record(name: str) -> None:
    recorded = aggregation.aggregation_settings(name)
    assert recorded.pop("name") == name
    M = MAPS["an even number of cells"].astype(np.float32)
    np.testing.assert_allclose(scores_of(name, recorded, M), scores_of(name, {}, M))


def test_no_aggregation_is_without_its_onnx_form() -> None:
    assert set(AGGREGATIONS) == set(aggregation.AGGREGATIONS)


def test_an_unknown_aggregation_is_named() -> None:
    with pytest.raises(
        ExportError, match=r"aggregates by 'vote', .* known are peak, average, max, lse, maxmin"
    ):
        model_of("vote", {})


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ExportError, match=r"aggregation 'max' does not take .* 'window'"):
        model_of("max", {"window": 3})
