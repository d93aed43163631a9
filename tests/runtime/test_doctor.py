from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from prm_runtime.auto import Choice
from prm_runtime.auto.cache import FOLDER_VARIABLE
from prm_runtime.backends import BACKENDS
from prm_runtime.commands.doctor import could_be_faster, double_installs, will_be_used

CPU_ONLY = Choice("onnxruntime", "the only one installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "backends"))


@pytest.mark.parametrize(
    "installed",
    [
        [],
        ["onnxruntime"],
        ["onnxruntime-gpu"],
        ["numpy", "openvino"],
        ["opencv-contrib-python", "onnxruntime"],
    ],
)
def test_one_build_of_a_package_is_no_problem(installed: list[str]) -> None:
    assert double_installs(installed) == []


def test_two_builds_are_named_with_the_mend() -> None:
    (problem,) = double_installs(["onnxruntime-gpu", "onnxruntime"])
    assert problem.endswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu")
    (problem,) = double_installs(["opencv-python-headless", "opencv-contrib-python", "numpy"])
    assert problem.startswith(
        "opencv-python-headless and opencv-contrib-python are installed over each other"
    )
    assert problem.endswith("&& pip install opencv-contrib-python")


def test_it_shows_versions_engines_and_the_choice(prm_run: Callable[..., Any]) -> None:
    output = prm_run("doctor").out
    assert onnxruntime.__version__ in output
    assert "CPUExecutionProvider" in output
    assert "engine that prm-run takes: " in output
    assert "installed over each other" not in output


@pytest.mark.parametrize(
    ("distribution", "named"),
    [
        ("onnxruntime_gpu", "onnxruntime and onnxruntime-gpu"),
        ("opencv_python_headless", "opencv-python and opencv-python-headless"),
    ],
)
def test_it_sees_a_double_install(
    distribution: str,
    named: str,
    prm_run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    info = tmp_path / f"{distribution}-4.22.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 4.22.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = prm_run("doctor")
    assert result.code == 1
    assert f"{named} are installed over each other" in result.out


def test_it_says_what_would_be_faster() -> None:
    absent = {**BACKENDS, "openvino": replace(BACKENDS["openvino"], requires=("no_such_module",))}
    (advice,) = could_be_faster(CPU_ONLY, has_gpu=False, backends=absent)
    assert advice.endswith('pip install "prm-edge[openvino]"')
    present = {**BACKENDS, "openvino": replace(BACKENDS["openvino"], requires=())}
    assert could_be_faster(CPU_ONLY, has_gpu=False, backends=present) == []
    (advice,) = could_be_faster(CPU_ONLY, has_gpu=True, backends=present)
    assert advice == 'there is an NVIDIA driver, but no TensorRT: pip install "prm-edge[tensorrt-rtx]"'


def test_it_says_why_a_gpu_is_not_used() -> None:
    present = {**BACKENDS, "openvino": replace(BACKENDS["openvino"], requires=())}
    choice = Choice(
        "onnxruntime", "the only one that runs", {"onnxruntime": 0.1}, {"tensorrt-rtx": "no engine"}
    )
    assert could_be_faster(choice, True, present) == ["tensorrt-rtx does not run yet: no engine"]
    assert "onnxruntime, the only one that runs" in will_be_used(choice)
