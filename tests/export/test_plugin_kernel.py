"""PeakFind's Triton kernel, interpreted on the CPU, held to its function body and to a search."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.fixtures.peak_maps import MAPS, RNG, peak_find_model

from prm_export.emit import LOWEST
from prm_export.oracle_peaks import peak_table
from prm_runtime.backends import create_backend

if find_spec("triton") is None:
    pytest.skip("triton is not installed: pip install triton", allow_module_level=True)

RUN_PEAK_FIND = Path(__file__).parents[1] / "fixtures" / "run_peak_find.py"
MORE_MAPS = {
    "signed zeros": np.where(RNG.random((2, 5, 5)) < 0.5, -0.0, 0.0),
    "minus infinity": np.where(RNG.random((2, 6, 6)) < 0.5, -np.inf, RNG.normal(size=(2, 6, 6))),
    "tie with a cell that is no maximum": np.array([[[1, 1, 2], [0, 0, 0]]]),
}
CASES = {
    f"{window},{max_peaks},{LOWEST},{name}": M.astype(np.float32)[None]
    for name, M in (MAPS | MORE_MAPS).items()
    for window, max_peaks in ((3, 4), (5, 32))
} | {
    f"1,32,{LOWEST},every cell": MAPS["tied"].astype(np.float32)[None],
    "3,10,0.25,threshold": RNG.normal(size=(1, 2, 6, 6)).astype(np.float32),
    f"3,5,{LOWEST},two pictures": RNG.integers(0, 3, (2, 2, 5, 6)).astype(np.float32),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, NDArray[Any]]:
    return run(tmp_path_factory.mktemp("triton"), "cpu")


def run(folder: Path, device: str) -> Mapping[str, NDArray[Any]]:
    np.savez(folder / "maps.npz", **CASES)
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    variables["TRITON_INTERPRET"] = "1" if device == "cpu" else "0"
    subprocess.run(
        [sys.executable, str(RUN_PEAK_FIND), folder / "maps.npz", folder / "tables.npz", device],
        env=os.environ | variables,
        check=True,
    )
    return dict(np.load(folder / "tables.npz"))


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_makes_the_table_that_a_search_finds(
    tables: Mapping[str, NDArray[Any]], case: str
) -> None:
    window, max_peaks, threshold = case.split(",")[:3]
    for M, peaks, scores in zip(CASES[case], tables[f"peaks {case}"], tables[f"scores {case}"], strict=True):
        expected = peak_table(
            np.where(np.isneginf(M), np.nan, M), int(window), int(max_peaks), float(threshold)
        )
        np.testing.assert_array_equal(peaks, expected)
        live = expected[:, 0] >= 0
        at_peaks = np.where(live, M[tuple(np.where(live[:, None], expected, 0).T)], 0)
        np.testing.assert_array_equal(scores, at_peaks)


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_equals_the_function_body(tables: Mapping[str, NDArray[Any]], case: str) -> None:
    if "two pictures" in case:
        pytest.skip("the body is for one picture")
    window, max_peaks, threshold = case.split(",")[:3]
    model = peak_find_model(int(window), int(max_peaks), float(threshold)).SerializeToString()
    found = create_backend("onnxruntime", 1).compile(model).run({"class_maps": CASES[case]})
    np.testing.assert_array_equal(tables[f"peaks {case}"], found["peaks"])
    np.testing.assert_array_equal(tables[f"scores {case}"], found["peak_scores"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and torch's CUDA build")
def test_the_kernel_on_a_gpu_equals_the_interpreted_one(
    tables: Mapping[str, NDArray[Any]], tmp_path: Path
) -> None:
    for name, table in run(tmp_path, "cuda").items():
        np.testing.assert_array_equal(table, tables[name])
