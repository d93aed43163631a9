"""From a serialised ONNX graph to a serialised engine; needs no GPU with TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prm_runtime.backends.base import GraphUse
from prm_runtime.engines.files import write_atomically
from prm_runtime.engines.flavors import Flavor, OnProgress
from prm_runtime.engines.profiles import Range, extent_range, grid_range
from prm_runtime.errors import PrmError


def build_engine(
    flavor: Flavor,
    model: bytes,
    use: GraphUse,
    *,
    timing_cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> bytes:
    """Build an engine.

    Args:
        flavor: The TensorRT to build with.
        model: The graph; its types are the engine's.
        use: How large its inputs get.
        timing_cache: File of measured kernels to read and add to, where the flavor has such a thing.
        on_progress: Called with the share that is done, 0 to 1.

    Raises:
        PrmError: If TensorRT cannot parse or build the graph, with its reason.
    """
    builder = flavor.trt.Builder(flavor.logger)
    network = flavor.create_network(builder)
    parse(flavor, network, model)
    config = flavor.create_config(builder, on_progress)
    config.add_optimization_profile(_profile(builder, network, use))
    if timing_cache is not None and flavor.info.has_timing_cache:
        known = timing_cache.read_bytes() if timing_cache.exists() else b""
        config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise PrmError(f"{flavor.name} {flavor.version} cannot build the engine: {flavor.last_message}")
    if timing_cache is not None and flavor.info.has_timing_cache:
        write_atomically(timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def parse(flavor: Flavor, network: Any, model: bytes) -> None:
    """Parse a graph into a network, which the caller has to hold on to.

    Raises:
        PrmError: If TensorRT does not take the graph.
    """
    parser = flavor.trt.OnnxParser(network, flavor.logger)
    if parser.parse(model):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = [f"{error.node_operator()} '{error.node_name()}': {error.desc()}" for error in errors]
    reason = "; ".join(reasons) or flavor.last_message
    raise PrmError(f"{flavor.name} {flavor.version} cannot read the graph: {reason}")


def _profile(builder: Any, network: Any, use: GraphUse) -> Any:
    profile = builder.create_optimization_profile()
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    shapes = {tensor.name: _ranges(tensor, use) for tensor in tensors}
    for tensor in tensors:
        if tensor.is_shape_tensor:
            profile.set_shape_input(tensor.name, *_corners(grid_range(shapes.values())))
        elif -1 in tuple(tensor.shape):
            profile.set_shape(tensor.name, *_corners(shapes[tensor.name]))
    return profile


def _ranges(tensor: Any, use: GraphUse) -> list[Range]:
    return [
        extent_range(tensor.get_dimension_name(axis) if extent < 0 else int(extent), use)
        for axis, extent in enumerate(tensor.shape)
    ]


def _corners(ranges: Sequence[Range]) -> list[tuple[int, ...]]:
    """Smallest, usual and largest shape."""
    return list(zip(*ranges, strict=True))
