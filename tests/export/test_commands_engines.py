"""``prm-export engines`` on the shipped model, with TensorRT-RTX and without a GPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.fixtures.command_line import Command

from prm_runtime.bundle import shipped_bundle
from prm_runtime.engines.flavors import FLAVORS

NO_RTX = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason=f"needs TensorRT-RTX: {FLAVORS['tensorrt-rtx'].install}"
)
RTX = ("--flavor", "tensorrt-rtx")


@NO_RTX
def test_both_engines_of_the_shipped_model_are_built_once(prm_export: Command, tmp_path: Path) -> None:
    arguments = ("engines", shipped_bundle(), *RTX, "--cache", tmp_path)
    first = prm_export(*arguments)
    assert first.code == 0, first.err
    assert first.err.count("built in") == 2
    assert "function body" in first.err
    engines = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(engines) == 2
    second = prm_export(*arguments)
    assert second.err.count("in the cache") == 2
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == engines


@NO_RTX
def test_float16_is_another_engine(prm_export: Command, colour_bundle: Path, tmp_path: Path) -> None:
    for arguments in ((), ("--fp16",)):
        result = prm_export("engines", colour_bundle, *RTX, "--cache", tmp_path, *arguments)
        assert result.code == 0, result.err
        assert result.err.count("built in") == 2
    assert len(list(tmp_path.iterdir())) == 4
    rebuilt = prm_export("engines", colour_bundle, *RTX, "--cache", tmp_path, "--rebuild")
    assert rebuilt.err.count("built in") == 2


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_an_absent_tensorrt_is_named_with_the_command_that_installs_it(
    prm_export: Command, tmp_path: Path
) -> None:
    result = prm_export("engines", shipped_bundle(), "--flavor", "tensorrt", "--cache", tmp_path)
    assert result.code == 1
    assert "tensorrt is not installed; run: pip install tensorrt" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_bundle_is_named(prm_export: Command, tmp_path: Path) -> None:
    result = prm_export("engines", tmp_path / "none.prm", *RTX)
    assert result.code == 1
    assert "no such bundle" in result.err
