"""An engine from the cache, or built and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from prm_runtime.backends.base import GraphUse
from prm_runtime.engines.build import build_engine
from prm_runtime.engines.cache import CachedEngine, EngineCache, EngineKey
from prm_runtime.engines.flavors import Flavor, OnProgress

AS_EXPORTED, FP16 = "as exported", "fp16"


@dataclass(frozen=True)
class Provided:
    """An engine and where it came from.

    Attributes:
        engine: The engine.
        path: Its file in the cache.
        seconds: What building took; None if it was there already.
    """

    engine: CachedEngine
    path: Path
    seconds: float | None


def provide_engine(
    flavor: Flavor,
    model: bytes,
    use: GraphUse,
    device: str,
    cache: EngineCache,
    *,
    precision: str = AS_EXPORTED,
    convert: Callable[[bytes], bytes] | None = None,
    notes: dict[str, str] | None = None,
    rebuild: bool = False,
    on_progress: OnProgress | None = None,
) -> Provided:
    """Take an engine from the cache, or build and store it.

    Args:
        flavor: The TensorRT.
        model: The ONNX graph, as in the bundle.
        use: How large its inputs get.
        device: The GPU's name, or ``portable``.
        cache: Where engines are kept.
        precision: What ``convert`` makes of the graph.
        convert: Applied to the graph before it is built.
        notes: To keep with the engine if it is built.
        rebuild: Build even if it is there.
        on_progress: Called with the share of building that is done.

    Raises:
        PrmError: If it cannot be built.
    """
    key = EngineKey.of(model, use, flavor.name, flavor.version, device, precision)
    if not rebuild and (found := cache.load(key)):
        return Provided(found, cache.path(key), None)
    start = perf_counter()
    content = build_engine(
        flavor,
        convert(model) if convert else model,
        use,
        timing_cache=cache.timing_cache(key),
        on_progress=on_progress,
    )
    engine = CachedEngine(content, notes or {})
    return Provided(engine, cache.store(key, engine), perf_counter() - start)
