"""What the machine could do at best: measured GFLOP/s and GB/s against the work of a bundle's graphs.

The limit of a graph is the sum over its convolutions and matrix products of the longer of two times: its
arithmetic at the fastest rate that a large product or convolution reached, and its inputs, weights and output
moved once at the rate of a STREAM triad. Everything element by element is taken to cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from time import perf_counter

import numba
import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from prm_export.macs import PRODUCTS, node_macs, shapes_for
from prm_export.reexport import classifier_of
from prm_runtime.bundle import Bundle
from prm_runtime.preprocess import input_size

FLOAT = 4
TRIADS = {"in cache": 3 * 2**20, "beyond cache": 3 * 2**28}
"""Bytes of the three arrays together: those of a few layers, and more than any cache holds."""


@dataclass(frozen=True)
class Machine:
    """Rates that were reached.

    Attributes:
        gflops: Floating-point operations per nanosecond, by what reached them.
        gbytes: Bytes per nanosecond of a triad, by the size of its arrays.
    """

    gflops: Mapping[str, float]
    gbytes: Mapping[str, float]


@dataclass(frozen=True)
class Work:
    """What a graph has to do.

    Attributes:
        macs: Multiply-accumulates.
        bytes: Moved by its convolutions and products, each value once per reader and writer.
        seconds: The machine's limit for it.
    """

    macs: int
    bytes: int
    seconds: float


def measure(threads: int) -> Machine:
    """Measure this machine; takes some seconds."""
    torch.set_num_threads(threads)
    side = 2048
    a, b = torch.rand(side, side), torch.rand(side, side)
    x, w = torch.rand(1, 256, 56, 56), torch.rand(256, 256, 3, 3)
    convolution_flops = 2 * 56 * 56 * 256 * 256 * 9
    gflops = {
        "matrix product 2048": 2 * side**3 / _best(lambda: torch.mm(a, b)) / 1e9,
        "convolution 3x3, 256 channels": convolution_flops
        / _best(lambda: torch.conv2d(x, w, padding=1))
        / 1e9,
    }
    gbytes = {}
    for name, size in TRIADS.items():
        arrays = [np.ones(size // 3 // FLOAT, np.float32) for _ in range(3)]
        gbytes[name] = size / _best(lambda arrays=arrays: _triad(*arrays)) / 1e9  # type: ignore[misc]
    return Machine(gflops, gbytes)


def graph_work(bundle: Bundle, frame: tuple[int, int], peaks: int, machine: Machine) -> dict[str, Work]:
    """The work of the bare classifier, the forward graph and the reverse graph of some peaks.

    Args:
        bundle: The model.
        frame: Height and width of a frame.
        peaks: How many are back-propagated.
        machine: Rates of :func:`measure`.
    """
    manifest = bundle.manifest
    forward = onnx.load_from_string(bundle.read(manifest.forward.file))
    size = (1, 3, *input_size(*frame, manifest.preprocessing))
    shapes = shapes_for(forward, {manifest.forward.inputs[0].name: size})
    bare = bare_classifier(bundle)
    reverse = onnx.load_from_string(bundle.read(manifest.backprop.file))
    given = {spec.name: shapes.get(spec.name, ()) for spec in manifest.backprop.inputs}
    given["peaks"] = (peaks, 3)
    grid = np.array(shapes["class_maps"][2:], np.int64)
    reverse_shapes = shapes_for(reverse, given, {"gain_grid": grid})
    return {
        "bare classifier": _work(bare, shapes_for(bare, {"image": size}), machine),
        "forward graph": _work(forward, shapes, machine),
        f"reverse graph, {peaks} peaks": _work(reverse, reverse_shapes, machine),
    }


def bare_classifier(bundle: Bundle) -> onnx.ModelProto:
    """The network alone, from the image to the class maps: no peaks, gain maps or features."""
    forward = onnx.load_from_string(bundle.read(bundle.manifest.forward.file))
    return onnx.utils.Extractor(classifier_of(forward)).extract_model(["image"], ["class_maps"])


def _work(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], machine: Machine) -> Work:
    flops, bandwidth = 1e9 * max(machine.gflops.values()), 1e9 * machine.gbytes["in cache"]
    macs, moved, seconds = 0, 0, 0.0
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            continue
        count = node_macs(node, shapes)
        if count is None:
            continue
        size = FLOAT * sum(prod(shapes[name]) for name in (*node.input, *node.output) if name in shapes)
        macs, moved = macs + count, moved + size
        seconds += max(2 * count / flops, size / bandwidth)
    return Work(macs, moved, seconds)


def _best(function: Callable[[], object], least_seconds: float = 1.0) -> float:
    """Seconds of the fastest of many calls."""
    function()
    taken, end = [], perf_counter() + least_seconds
    while not taken or perf_counter() < end:
        start = perf_counter()
        function()
        taken.append(perf_counter() - start)
    return min(taken)


@numba.njit(parallel=True, fastmath=True)
def _triad(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> None:
    for i in numba.prange(len(a)):
        a[i] = b[i] + np.float32(3) * c[i]
