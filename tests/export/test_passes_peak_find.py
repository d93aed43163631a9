"""The body of PeakFind in two engines, held to a search through every window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from prm_export.oracle_peaks import peak_table
from prm_export.passes.peak_find import add_peak_find
from prm_runtime.backends import create_backend

Engine = Callable[[onnx.ModelProto, NDArray[np.float32]], dict[str, NDArray[Any]]]


def model_of(
    window: int, max_peaks: int, threshold: float = float(np.finfo(np.float32).min)
) -> onnx.ModelProto:
    M = helper.make_tensor_value_info("class_maps", TensorProto.FLOAT, [1, "C", "h", "w"])
    graph = helper.make_graph([], "maps", [M], [])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = ir.from_proto(proto)
    proto = ir.to_proto(add_peak_find(model, model.graph.inputs[0], window, max_peaks, threshold))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run_onnxruntime(model: onnx.ModelProto, M: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    return create_backend("onnxruntime", 1).compile(model.SerializeToString()).run({"class_maps": M[None]})


def run_reference(model: onnx.ModelProto, M: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    found = ReferenceEvaluator(model).run(None, {"class_maps": M[None]})
    return dict(zip(("peaks", "peak_scores"), found, strict=True))


ENGINES = {"onnxruntime": run_onnxruntime, "onnx.reference": run_reference}
RNG = np.random.default_rng(0)
MAPS = {
    "random": RNG.normal(size=(3, 7, 9)),
    "one row": RNG.normal(size=(3, 1, 9)),
    "one cell": RNG.normal(size=(5, 1, 1)),
    "all negative": -RNG.random((2, 6, 6)) - 1,
    "tied": RNG.integers(0, 3, (3, 8, 8)),
    "constant": np.full((2, 5, 6), -0.5),
    "peaks on the border": np.pad(np.zeros((2, 5, 5)), ((0, 0), (1, 1), (1, 1)), constant_values=1),
    "some NaN": np.where(RNG.random((3, 7, 7)) < 0.3, np.nan, RNG.normal(size=(3, 7, 7))),
    "all NaN": np.full((2, 4, 4), np.nan),
    "infinite": np.where(RNG.random((2, 6, 6)) < 0.1, np.inf, RNG.normal(size=(2, 6, 6))),
}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("M", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize(("window", "max_peaks"), [(1, 200), (3, 4), (3, 200), (5, 16)])
def test_the_table_is_what_a_search_finds(
    engine: Engine, M: NDArray[np.float64], window: int, max_peaks: int
) -> None:
    assert_is_table(engine, M.astype(np.float32), window, max_peaks)


@settings(max_examples=60, deadline=None)
@given(
    M=arrays(np.float32, st.tuples(*[st.integers(1, n) for n in (3, 6, 6)]), elements=st.integers(-2, 2)),
    window=st.sampled_from([1, 3, 5]),
    max_peaks=st.integers(1, 12),
)
def test_ties_are_broken_as_by_the_search(M: NDArray[np.float32], window: int, max_peaks: int) -> None:
    assert_is_table(run_onnxruntime, M, window, max_peaks)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_peaks_below_the_threshold_are_left_out(engine: Engine) -> None:
    M = RNG.normal(size=(2, 6, 6)).astype(np.float32)
    threshold = float(np.float32(np.median(M.max((1, 2)))))
    found = engine(model_of(3, 10, threshold), M)["peaks"][0]
    np.testing.assert_array_equal(found, peak_table(M, 3, 10, threshold))


def test_the_node_carries_what_a_plugin_needs() -> None:
    (node,) = model_of(5, 16, 0.5).graph.node
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert (node.domain, node.op_type) == ("prm", "PeakFind")
    assert attributes == {
        "window": 5,
        "max_peaks": 16,
        "threshold": 0.5,
        "plugin_namespace": b"prm",
        "plugin_version": b"1",
    }


def test_the_body_holds_only_what_engines_take() -> None:
    (function,) = model_of(3, 16).functions
    assert "NonZero" not in {node.op_type for node in function.node}
    assert {node.domain for node in function.node} == {""}


def assert_is_table(engine: Engine, M: NDArray[np.float32], window: int, max_peaks: int) -> None:
    found = engine(model_of(window, max_peaks), M)
    expected = peak_table(M, window, max_peaks)
    assert found["peaks"].dtype == np.int64
    np.testing.assert_array_equal(found["peaks"], expected[None])
    live = expected[:, 0] >= 0
    scores = np.where(live, M[tuple(np.where(live[:, None], expected, 0).T)], 0)
    np.testing.assert_array_equal(found["peak_scores"], scores[None])
