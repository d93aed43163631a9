"""The one module that knows both TensorRT packages and their generations.

TensorRT 10 types a network strongly on request; TensorRT 11 and TensorRT-RTX know nothing else. Strongly
typed everywhere, the precision of an engine is that of its ONNX graph, whichever package builds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from prm_runtime.errors import PrmError

OnProgress = Callable[[float], None]


@dataclass(frozen=True)
class FlavorInfo:
    """Where a TensorRT comes from.

    Attributes:
        module: The package to import.
        oldest: Oldest version that works.
        install: The command that installs it.
        has_timing_cache: Whether building measures kernels, which a timing cache saves. TensorRT-RTX compiles
            kernels on the user's machine instead.
    """

    module: str
    oldest: tuple[int, int]
    install: str
    has_timing_cache: bool


FLAVORS = {
    "tensorrt": FlavorInfo(
        module="tensorrt",
        oldest=(10, 10),
        install="pip install tensorrt-cu12 (from NVIDIA's own package index; Jetson: in JetPack)",
        has_timing_cache=True,
    ),
    "tensorrt-rtx": FlavorInfo(
        module="tensorrt_rtx",
        oldest=(1, 1),
        install='pip install "prm-edge[tensorrt-rtx]"',
        has_timing_cache=False,
    ),
}


class Flavor:
    """An imported TensorRT.

    Attributes:
        name: A key of :data:`FLAVORS`.
        info: What holds for this package.
        trt: The package itself.
        messages: Its warnings and errors, the last one last.
    """

    def __init__(self, name: str, trt: Any) -> None:
        """Wrap an imported package; :func:`load_flavor` is the way to get one."""
        self.name, self.info, self.trt = name, FLAVORS[name], trt
        self.messages: list[str] = []
        self.logger = _logger(trt, self.messages)

    @property
    def version(self) -> str:
        """Version of the package."""
        return str(self.trt.__version__)

    @property
    def has_quick_plugins(self) -> bool:
        """Whether plugins can be defined in Python with their kernels in the engine."""
        return hasattr(self.trt, "QuickPluginCreationRequest")

    def create_network(self, builder: Any) -> Any:
        """An empty, strongly typed network."""
        known = self.trt.NetworkDefinitionCreationFlag.__members__
        wanted = ("STRONGLY_TYPED", "PREFER_AOT_PYTHON_PLUGINS")
        return builder.create_network(sum(1 << int(known[name]) for name in wanted if name in known))

    def create_config(self, builder: Any, on_progress: OnProgress | None = None) -> Any:
        """A builder configuration that reports its progress as a share of 1."""
        config = builder.create_builder_config()
        if on_progress is not None:
            config.progress_monitor = _monitor(self.trt, on_progress)
        return config

    def load(self, engine: bytes) -> Any:
        """Load an engine onto the GPU.

        Raises:
            PrmError: If it cannot be loaded.
        """
        loaded = self.trt.Runtime(self.logger).deserialize_cuda_engine(engine)
        if loaded is None:
            raise PrmError(f"{self.name} {self.version} cannot load the engine: {self.last_message}")
        return loaded

    def create_context(self, engine: Any) -> Any:
        """A context to run a loaded engine in; TensorRT-RTX then captures CUDA graphs by itself."""
        if not self.captures_graphs:
            return engine.create_execution_context()
        config = engine.create_runtime_config()
        config.cuda_graph_strategy = self.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return engine.create_execution_context(config)

    @property
    def captures_graphs(self) -> bool:
        """Whether contexts capture CUDA graphs by themselves."""
        return hasattr(self.trt, "CudaGraphStrategy")

    @property
    def last_message(self) -> str:
        """What it said last, in one line."""
        lines = self.messages[-1].split() if self.messages else ["no reason given"]
        return " ".join(lines)


def load_flavor(name: str) -> Flavor:
    """Import a TensorRT.

    Args:
        name: A key of :data:`FLAVORS`.

    Raises:
        PrmError: If there is no such flavor, it is not installed (with the command that installs it), its
            libraries are missing, or it is too old.
    """
    info = FLAVORS.get(name)
    if info is None:
        raise PrmError(f"unknown TensorRT flavor {name!r}; choose one of: {', '.join(FLAVORS)}")
    if find_spec(info.module) is None:
        raise PrmError(f"{name} is not installed; run: {info.install}")
    try:
        trt = import_module(info.module)
    except (ImportError, OSError) as error:
        raise PrmError(f"{name} is installed but does not load ({error}); run: {info.install}") from error
    numbers = re.findall(r"\d+", str(trt.__version__))[:2]
    if tuple(map(int, numbers)) < info.oldest:
        oldest = ".".join(map(str, info.oldest))
        raise PrmError(f"{name} {trt.__version__} is too old, {oldest} is needed; run: {info.install}")
    return Flavor(name, trt)


def _logger(trt: Any, messages: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                messages.append(message)

    return Logger()


def _monitor(trt: Any, on_progress: OnProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._parents: dict[str, str | None] = {}
            self._done: dict[str, float] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase], self._parents[phase], self._done[phase] = max(steps, 1), parent, 0

        def step_complete(self, phase: str, step: int) -> bool:
            self._done[phase] = step + 1
            on_progress(self._share(phase))
            return True

        def phase_finish(self, phase: str) -> None:
            self._done[phase] = self._steps[phase]

        def _share(self, phase: str, within: float = 0.0) -> float:
            """Share of the root phase, each phase being one step of its parent."""
            share = min(1.0, (self._done[phase] + within) / self._steps[phase])
            parent = self._parents[phase]
            return share if parent not in self._steps else self._share(parent, share)

    return Monitor()
