"""The body of PeakFind in two engines, held to a search through every window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator
from tests.fixtures.peak_maps import MAPS, RNG, peak_find_model

from prm_export.oracle_peaks import peak_table
from prm_runtime.backends import create_backend

Engine = Callable[[onnx.ModelProto, NDArray[np.float32]], dict[str, NDArray[Any]]]


def run_onnxruntime(model: onnx.ModelProto, M: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    return create_backend("onnxruntime", 1).compile(model.SerializeToString()).run({"class_maps": M[None]})


def run_reference(model: onnx.ModelProto, M: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    found = ReferenceEvaluator(model).run(None, {"class_maps": M[None]})
    return dict(zip(("peaks", "peak_scores"), found, strict=True))


ENGINES = {"onnxruntime": run_onnxruntime, "onnx.reference": run_reference}


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
    found = engine(peak_find_model(3, 10, threshold), M)["peaks"][0]
    np.testing.assert_array_equal(found, peak_table(M, 3, 10, threshold))


def test_the_node_carries_what_a_plugin_needs() -> None:
    (node,) = peak_find_model(5, 16, 0.5).graph.node
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
    (function,) = peak_find_model(3, 16).functions
    assert "NonZero" not in {node.op_type for node in function.node}
    assert {node.domain for node in function.node} == {""}


def assert_is_table(engine: Engine, M: NDArray[np.float32], window: int, max_peaks: int) -> None:
    found = engine(peak_find_model(window, max_peaks), M)
    expected = peak_table(M, window, max_peaks)
    assert found["peaks"].dtype == np.int64
    np.testing.assert_array_equal(found["peaks"], expected[None])
    live = expected[:, 0] >= 0
    scores = np.where(live, M[tuple(np.where(live[:, None], expected, 0).T)], 0)
    np.testing.assert_array_equal(found["peak_scores"], scores[None])
