"""Which engines may be chosen, and all that the choice depends on; imports none of them."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from prm_runtime.backends import BACKENDS
from prm_runtime.backends.base import usable_cpus
from prm_runtime.engines.cache import EngineCache
from prm_runtime.manifest import Manifest
from prm_runtime.nvidia import driver_version

_CPUINFO = Path("/proc/cpuinfo")


class ChoiceKey(BaseModel):
    """What a measurement holds for; whatever differs makes it another.

    Attributes:
        graphs: SHA-256 of the forward and the reverse graph.
        threads: CPU threads that were asked for; None leaves it to the engines.
        versions: Version of each package whose engine is a candidate, and of prm-edge.
        cpu: Model of the processor.
        cpus: CPUs that this process may use.
        driver: NVIDIA's driver, empty without one.
        engines: Files of engines that were built for the graphs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    graphs: tuple[str, str]
    threads: int | None
    versions: dict[str, str]
    cpu: str
    cpus: int
    driver: str
    engines: tuple[str, ...]

    @classmethod
    def here(cls, manifest: Manifest, names: list[str], threads: int | None) -> ChoiceKey:
        """The key of this machine, for some candidates."""
        packages = dict.fromkeys(package for name in names for package in BACKENDS[name].distributions)
        found = {package: installed_version(package) for package in ("prm-edge", *packages)}
        graphs = tuple(manifest.sha256.get(graph.file, "") for graph in (manifest.forward, manifest.backprop))
        return cls(
            graphs=(graphs[0], graphs[1]),
            threads=threads,
            versions={package: number for package, number in found.items() if number},
            cpu=_cpu_model(),
            cpus=usable_cpus(),
            driver=driver_version(),
            engines=tuple(_built_engines(graphs)),
        )


def candidates(*, many_sizes: bool = False) -> list[str]:
    """Engines that are installed and that a measurement may choose, by name.

    Args:
        many_sizes: Frames of many sizes are to come: engines that compile for each size are left out.
    """
    return [
        name
        for name, info in BACKENDS.items()
        if info.is_automatic
        and not (many_sizes and info.compiles_per_size)
        and not info.missing()
        and any(installed_version(package) for package in info.distributions)
    ]


def installed_version(package: str) -> str | None:
    """Version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _built_engines(graphs: tuple[str, ...]) -> list[str]:
    folder = EngineCache().folder
    prefixes = tuple(graph[:12] for graph in graphs if graph)
    names = (path.name for path in folder.glob("*.engine")) if prefixes and folder.is_dir() else ()
    return sorted(name for name in names if name.startswith(prefixes))


def _cpu_model() -> str:
    lines = _CPUINFO.read_text(errors="replace").splitlines() if _CPUINFO.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.processor() or platform.machine())
