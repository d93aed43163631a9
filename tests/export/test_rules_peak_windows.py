"""Windows around peaks: maps cut and spread, and walks that are the same with windows and without."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from tests.fixtures.networks import Network
from tests.fixtures.small_nets import Compiled, assert_maps_agree

from prm_export.emit import Emitter, make_model
from prm_export.passes.at_peaks import compute_at_peaks
from prm_export.pipeline import Graphs, build_graphs
from prm_export.rules import convolution
from prm_export.rules.base import IN_WINDOWS
from prm_export.rules.peak_windows import PeakWindows
from prm_runtime.backends import create_backend

HEIGHT, WIDTH, CHANNELS = 5, 7, 3
PEAKS = [(0, 0), (4, 6), (2, 3), (4, 0)]


def through_windows(maps: NDArray[np.float32], reach: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Windows [P, k², C] cut out of maps [1, C, h, w], and the maps [P, C, h, w] that they spread to."""
    emitter = Emitter()
    peaks, grid = (
        ir.val("peaks", ir.DataType.INT64, ("peaks", 3)),
        ir.val("gain_grid", ir.DataType.INT64, (2,)),
    )
    image = ir.val("maps", ir.DataType.FLOAT, (1, CHANNELS, "h", "w"))
    cut = emitter.unsettled(IN_WINDOWS, image, reach=reach)
    spread = PeakWindows(emitter, peaks, grid).spread(cut, reach)
    named = emitter.op("Identity", cut)
    for value, name, rank in ((named, "cut", 3), (spread, "spread", 4)):
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, ir.Shape([None] * rank)
    model = compute_at_peaks(make_model([peaks, grid, image], [named, spread], emitter.nodes, "windows"))
    graph = create_backend("onnxruntime", 1).compile(ir.to_proto(model).SerializeToString())
    table = np.insert(np.int64(PEAKS), 0, 0, axis=1)
    found = graph.run({"peaks": table, "maps": maps, "gain_grid": np.int64([HEIGHT, WIDTH])})
    return found["cut"], found["spread"]


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
def test_windows_hold_what_lies_around_the_peaks(reach: int) -> None:
    maps = np.random.default_rng(0).random((1, CHANNELS, HEIGHT, WIDTH), dtype=np.float32)
    cut, spread = through_windows(maps, reach)
    assert cut.shape == (len(PEAKS), (2 * reach + 1) ** 2, CHANNELS)
    assert spread.shape == (len(PEAKS), CHANNELS, HEIGHT, WIDTH)
    for n, (row, column) in enumerate(PEAKS):
        near = np.zeros((HEIGHT, WIDTH), bool)
        near[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1] = True
        np.testing.assert_array_equal(spread[n], np.where(near, maps[0], 0))
        assert cut[n].sum() == pytest.approx(spread[n].sum(), rel=1e-5)


def test_a_walk_in_windows_is_the_walk_over_whole_maps(
    networks: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Network = networks("efficientnet_lite0")  # type: ignore[operator]
    image = network.image(160, 192)
    options = network.options(stop_stride=16, stop_early=True)
    windowed = build_graphs(network.classifier, options)
    monkeypatch.setattr(convolution, "LARGEST", 0)
    whole = build_graphs(network.classifier, options)
    peaks, expected = Compiled(whole).maps(image, 6)
    assert_maps_agree(Compiled(windowed).maps(image, 6)[1], expected, 1e-4)
    assert operators(windowed).count("Gather") > operators(whole).count("Gather")
    corners = np.int64([[0, 0, 0], [1, 4, 5], [2, 0, 5], [-1, 0, 0]])
    outputs = Compiled(whole).forward(image)
    found, expected = (Compiled(graphs).backprop(corners, outputs) for graphs in (windowed, whole))
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    assert len(peaks) > 0


def operators(graphs: Graphs) -> list[str]:
    return [node.op_type for node in graphs.backprop.graph.node]
