from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.colour_blobs import backprop_model

from prm_runtime.backends import BACKENDS, create_backend
from prm_runtime.console import PrmError


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(PrmError, match="unknown backend 'tpu'; choose one of: onnxruntime, openvino"):
        create_backend("tpu")


@pytest.mark.parametrize("name", BACKENDS)
def test_an_absent_engine_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(BACKENDS, name, replace(BACKENDS[name], requires=("no_such_engine",)))
    with pytest.raises(PrmError, match="needs no_such_engine, which is not installed; run: pip install"):
        create_backend(name)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("threads", [None, 1])
def test_engines_run_a_graph(name: str, threads: int | None) -> None:
    if BACKENDS[name].missing():
        pytest.skip(f"{name} is not installed")
    graph = create_backend(name, threads).compile(backprop_model().SerializeToString())
    gain = np.random.default_rng(0).random((1, 3, 32, 48), dtype=np.float32)
    for peaks in ([[0, 1, 1]], [[2, 0, 2], [1, 1, 0]]):
        prms = graph.run({"peaks": np.int64(peaks), "gain_colour": gain})["prms"]
        assert prms.shape == (len(peaks), 32, 48)
        np.testing.assert_allclose(prms.sum(axis=(1, 2)), 1, rtol=1e-4)
        for prm, (class_id, row, column) in zip(prms, peaks, strict=True):
            y, x = np.mgrid[:32, :48]
            expected = gain[0, class_id] * np.exp(
                -((y - 16 * row - 8) ** 2 + (x - 16 * column - 8) ** 2) / (2 * 20**2)
            )
            np.testing.assert_allclose(prm, expected / expected.sum(), rtol=1e-3)


@pytest.mark.parametrize("name", BACKENDS)
def test_results_outlive_the_next_run(name: str) -> None:
    if BACKENDS[name].missing():
        pytest.skip(f"{name} is not installed")
    graph = create_backend(name).compile(backprop_model().SerializeToString())
    peaks = np.int64([[0, 1, 1]])
    first = graph.run({"peaks": peaks, "gain_colour": np.ones((1, 3, 32, 48), np.float32)})["prms"]
    kept = first.copy()
    graph.run({"peaks": peaks, "gain_colour": np.zeros((1, 3, 32, 48), np.float32)})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("threads", [0, -1])
def test_thread_counts_are_checked(threads: int) -> None:
    with pytest.raises(PrmError, match="at least 1"):
        create_backend("onnxruntime", threads)
