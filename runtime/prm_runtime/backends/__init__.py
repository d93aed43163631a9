"""Inference engines behind one small interface.

Each engine is one module, imported only when it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from prm_runtime.backends.base import Backend, Graph, GraphUse
from prm_runtime.engines.flavors import FLAVORS
from prm_runtime.errors import PrmError

__all__ = ["AUTO", "BACKENDS", "Backend", "BackendInfo", "Graph", "GraphUse", "create_backend"]


AUTO = "auto"
"""Not an engine, but the fastest that is installed; see :mod:`prm_runtime.auto`."""


@dataclass(frozen=True)
class BackendInfo:
    """Where an engine comes from.

    Attributes:
        module: Module of this package that wraps it.
        factory: Its class there.
        requires: Packages that must be importable.
        install: The command that installs them.
        options: Further arguments of the class.
        distributions: Packages any of which brings the engine; its speed may change with their versions.
        compiles_per_size: Each new size of frame costs it a second or so.
        is_automatic: ``auto`` may choose it.
        has_streams: Its runs share CPU threads out among those that are in work at once.
    """

    module: str
    factory: str
    requires: Sequence[str]
    install: str
    options: Mapping[str, str] = field(default_factory=dict)
    distributions: Sequence[str] = ()
    compiles_per_size: bool = False
    is_automatic: bool = True
    has_streams: bool = False

    def missing(self) -> list[str]:
        """Names of the required packages that are not installed."""
        return [name for name in self.requires if find_spec(name) is None]


BACKENDS = {
    "onnxruntime": BackendInfo(
        "onnxruntime_cpu",
        "OnnxRuntimeCpu",
        ("onnxruntime",),
        "pip install --force-reinstall onnxruntime",
        distributions=("onnxruntime", "onnxruntime-gpu"),
        has_streams=True,
    ),
    "openvino": BackendInfo(
        "openvino",
        "OpenVino",
        ("openvino", "onnx"),
        'pip install "prm-edge[openvino]"',
        distributions=("openvino",),
        compiles_per_size=True,
        has_streams=True,
    ),
    "cuda": BackendInfo(
        "onnxruntime_cuda",
        "OnnxRuntimeCuda",
        ("onnxruntime",),
        "pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
        distributions=("onnxruntime-gpu",),
    ),
} | {
    f"{flavor}{suffix}": BackendInfo(
        "tensorrt",
        "TensorRt",
        (info.module,),
        info.install,
        {"flavor": flavor, **precision},
        distributions=(flavor,),
        is_automatic=not suffix,  # another precision is the user's to choose
    )
    for flavor, info in FLAVORS.items()
    for suffix, precision in (("", {}), ("-fp16", {"precision": "fp16"}))
}


def create_backend(name: str = "onnxruntime", threads: int | None = None, streams: int = 1) -> Backend:
    """Return an engine by name.

    Args:
        name: A key of :data:`BACKENDS`.
        threads: CPU threads; ``None`` leaves the choice to the engine.
        streams: Runs that will be in work at once. With more than one, engines on the CPU share their threads
            out among them: a run takes longer, all of them together less.

    Raises:
        PrmError: If there is no such engine, or it is not installed: then with the command that installs it.
    """
    info = BACKENDS.get(name)
    if info is None:
        raise PrmError(f"unknown backend {name!r}; choose one of: {', '.join(BACKENDS)}")
    if missing := info.missing():
        needs = " and ".join(missing)
        raise PrmError(f"backend {name!r} needs {needs}, which is not installed; run: {info.install}")
    if threads is not None and threads < 1:
        raise PrmError(f"the number of threads must be at least 1, got {threads}")
    if streams < 1:
        raise PrmError(f"the number of streams must be at least 1, got {streams}")
    factory = getattr(import_module(f"{__name__}.{info.module}"), info.factory)
    shares = {"streams": streams} if info.has_streams else {}
    return cast("Backend", factory(threads, **shares, **info.options))
