from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from prm_runtime.commands.doctor import engine_problems


@pytest.mark.parametrize("installed", [[], ["onnxruntime"], ["onnxruntime-gpu"], ["numpy", "openvino"]])
def test_one_build_of_an_engine_is_no_problem(installed: list[str]) -> None:
    assert engine_problems(installed) == []


def test_two_builds_are_named_with_the_mend() -> None:
    (problem,) = engine_problems(["onnxruntime-gpu", "onnxruntime"])
    assert problem.endswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu")


def test_it_shows_versions_and_engines(prm_run: Callable[..., Any]) -> None:
    output = prm_run("doctor").out
    assert onnxruntime.__version__ in output
    assert "CPUExecutionProvider" in output
    assert "(default)" in output
    assert "installed over each other" not in output


def test_it_sees_a_double_install(
    prm_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = tmp_path / "onnxruntime_gpu-1.22.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.22.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = prm_run("doctor")
    assert result.code == 1
    assert "onnxruntime and onnxruntime-gpu are installed over each other" in result.out
