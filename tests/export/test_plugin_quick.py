"""The plugin's functions, held to what NVIDIA's own ``tensorrt.plugin`` accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.fixtures.nvidia_plugins import load_nvidia_plugins

from prm_export.plugin.choose import prepare_peak_find

ATTRIBUTES = (np.int32([3]), np.int32([16]), np.float32([0.5]))


@pytest.fixture(scope="module")
def registered() -> Any:
    """``tensorrt``, ``tensorrt.plugin`` and our functions."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed: pip install triton")
    from prm_export.plugin.quick import register_peak_find

    with pytest.MonkeyPatch.context() as patch:
        trt, trtp = load_nvidia_plugins(patch)
        yield trt, trtp, register_peak_find(trt, trtp, 87)
        # the registry is the process's: whoever parses next is to find it as it was
        assert trt.get_plugin_registry().deregister_creator(trtp._lib.QDP_CREATORS["prm::PeakFind"])


Registered = tuple[Any, Any, Mapping[str, Callable[..., Any]]]


def maps(trt: Any, trtp: Any) -> Any:
    return trtp.TensorDesc(trtp.ShapeExprs(4, _is_dummy=True), trt.float32)


def test_nvidia_takes_the_signatures(registered: Registered) -> None:
    _, trtp, _ = registered
    plugin = trtp._lib.QDP_REGISTRY["prm::PeakFind"]
    assert plugin.num_outputs == 2
    assert list(plugin.input_attrs) == ["window", "max_peaks", "threshold"]
    assert plugin.aot_impl_attr_names == plugin.impl_attr_names == ["window", "max_peaks", "threshold"]


def test_the_tables_are_described(registered: Registered) -> None:
    trt, trtp, functions = registered
    table, scores = functions["describe"](maps(trt, trtp), *ATTRIBUTES)
    assert (table.ndim, table.dtype) == (3, trt.int64)
    assert (scores.ndim, scores.dtype) == (2, trt.float32)


def test_the_kernel_gets_the_sides_of_the_maps(registered: Registered) -> None:
    trt, trtp, functions = registered
    M = maps(trt, trtp)
    outputs = functions["describe"](M, *ATTRIBUTES)
    name, ptx, launch, arguments = functions["aot"](M, *ATTRIBUTES, outputs, 0)
    assert name == "peak_find"
    assert ".target sm_87" in ptx
    assert len(arguments) == 3
    assert all(isinstance(argument, trtp.SymInt32) for argument in arguments)
    assert isinstance(launch, trtp.KernelLaunchParams)


@pytest.mark.parametrize(
    ("has_quick_plugins", "capability", "reasons"),
    [(False, 89, ["takes no plugin kernels"]), (True, None, ["no GPU", "no triton"])],
)
def test_the_export_says_why_it_takes_the_body(
    has_quick_plugins: bool, capability: int | None, reasons: list[str]
) -> None:
    flavor: Any = SimpleNamespace(name="tensorrt", version="10.6", has_quick_plugins=has_quick_plugins)
    found = prepare_peak_find(flavor, capability)
    assert found.startswith("function body (")
    assert any(reason in found for reason in reasons)
