"""Whether an engine gets PeakFind as a plugin or as its function body."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from prm_runtime.engines.flavors import Flavor


def prepare_peak_find(flavor: Flavor, compute_capability: int | None) -> str:
    """Register the plugin where that is possible.

    Args:
        flavor: The TensorRT that is about to parse a forward graph.
        compute_capability: Of the GPU; None without one.

    Returns:
        What the engine will hold, for people.
    """
    if not flavor.has_quick_plugins:
        return f"function body ({flavor.name} {flavor.version} takes no plugin kernels into engines)"
    if find_spec("triton") is None:
        return "function body (no triton to compile the plugin's kernel: pip install triton)"
    if compute_capability is None:
        return "function body (no GPU to compile the plugin's kernel for)"
    _register_once(flavor, compute_capability)
    return f"plugin (Triton kernel for sm_{compute_capability} in the engine)"


@cache
def _register_once(flavor: Flavor, compute_capability: int) -> None:
    from prm_export.plugin.quick import register_peak_find

    register_peak_find(flavor.trt, import_module(f"{flavor.info.module}.plugin"), compute_capability)
