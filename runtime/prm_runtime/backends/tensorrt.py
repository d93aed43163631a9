"""TensorRT and TensorRT-RTX: engines from the user's cache, built on the first use."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from prm_runtime.backends.base import ANY_USE, EngineMissingError, GraphUse
from prm_runtime.bundle import Bundle
from prm_runtime.console import stderr
from prm_runtime.engines.cache import EngineCache, EngineKey
from prm_runtime.engines.cuda import open_cuda
from prm_runtime.engines.flavors import load_flavor
from prm_runtime.engines.provide import AS_EXPORTED, provide_engine
from prm_runtime.engines.run import EngineGraph


class TensorRt:
    """Engines on an NVIDIA GPU."""

    concurrent = False  # a context and its memory serve one run at a time
    in_work = 1

    def __init__(
        self, threads: int | None = None, *, flavor: str = "tensorrt", precision: str = AS_EXPORTED
    ) -> None:
        """Open the GPU.

        Args:
            threads: CPU threads, of which it needs none: the work is the GPU's.
            flavor: ``tensorrt`` or ``tensorrt-rtx``.
            precision: Of the engines; what is not as exported has to be built by ``prm-export engines``.

        Raises:
            PrmError: If TensorRT, cuda-python, the driver or the GPU is missing.
        """
        self.threads = threads
        self._flavor = load_flavor(flavor)
        self._cuda = open_cuda()
        self._precision = precision
        self._cache = EngineCache()

    @property
    def description(self) -> str:
        """Engine, version and device."""
        precision = "" if self._precision == AS_EXPORTED else f", {self._precision}"
        return f"{self._flavor.name} {self._flavor.version}, {self._cuda.device}{precision}"

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> EngineGraph:
        """Load a graph's engine; builds it if need be, which takes minutes once.

        Raises:
            PrmError: If it cannot be built or loaded.
        """
        engine = self._flavor.load(self._engine(model, use))
        return EngineGraph(self._flavor, engine, self._cuda, use.resident)

    def has_engines(self, bundle: Bundle) -> bool:
        """Whether the engines of a bundle were built for this GPU."""
        manifest = bundle.manifest
        gains = frozenset(spec.name for spec in manifest.backprop.inputs if spec.name != "peaks")
        use = GraphUse.of(manifest, resident=gains)
        graphs = (bundle.read(graph.file) for graph in (manifest.forward, manifest.backprop))
        return all(self._cache.load(self._key(graph, use)) is not None for graph in graphs)

    def _key(self, model: bytes, use: GraphUse) -> EngineKey:
        flavor = self._flavor
        return EngineKey.of(model, use, flavor.name, flavor.version, self._cuda.device, self._precision)

    def _engine(self, model: bytes, use: GraphUse) -> bytes:
        flavor, device = self._flavor, self._cuda.device
        if self._precision != AS_EXPORTED:  # only prm-export can convert a graph
            found = self._cache.load(self._key(model, use))
            if found is None:
                raise EngineMissingError(
                    f"there is no {self._precision} engine of this bundle for {device}; build it here with: "
                    f"prm-export engines NAME.prm --flavor {flavor.name} --{self._precision}"
                )
            return found.content
        columns = (TextColumn("building the engine, once"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=stderr, transient=True) as progress:
            task = progress.add_task("", total=1, visible=False)

            def on_progress(share: float) -> None:
                progress.update(task, completed=share, visible=True)

            provided = provide_engine(flavor, model, use, device, self._cache, on_progress=on_progress)
        return provided.engine.content
