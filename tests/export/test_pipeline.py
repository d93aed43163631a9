"""Real networks with random weights, from torch to Peak Response Maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.fixtures.networks import Network
from tests.fixtures.small_nets import Compiled, assert_maps_agree, best_peaks

from prm_export.oracle import Oracle
from prm_export.pipeline import GraphOptions, Graphs, build_graphs, graph_spec
from prm_runtime.backends import BACKENDS
from prm_train.backbones import BACKBONES

Networks = Callable[[str], Network]
KINDS = ("efficientnet_lite0", "resnet18", "vgg16")
# activations near zero make gains that amplify rounding; no rule that is wrong comes anywhere near this
TOLERANCE = 1e-3


def oracle_maps(
    graphs: Graphs, options: GraphOptions, image: NDArray[np.float32], peaks: NDArray[np.int64]
) -> NDArray[np.float32]:
    oracle = Oracle(graphs.classifier, options.image_minimum)
    values = oracle.run(image)
    return np.stack([oracle.response_map(values, tuple(peak.tolist()), graphs.stop) for peak in peaks])


@pytest.mark.parametrize(
    ("name", "stop_stride"),
    [("efficientnet_lite0", stride) for stride in (1, 2, 4, 8)]
    + [("resnet18", 1), ("resnet18", 8), ("vgg16", 1), ("vgg16", 2)],
)
def test_the_walk_ends_at_the_stride_that_is_asked_for(
    networks: Networks, name: str, stop_stride: int
) -> None:
    network = networks(name)
    options, image = network.options(stop_stride), network.image(96, 64)
    graphs = build_graphs(network.classifier, options)
    assert "BatchNormalization" not in {node.op_type for node in graphs.classifier.graph.node}
    peaks, prms = Compiled(graphs).maps(image)
    assert prms.shape == (len(peaks), 96 // stop_stride, 64 // stop_stride)
    assert_maps_agree(prms, oracle_maps(graphs, options, image, peaks), TOLERANCE)


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(KINDS)))
def test_deeper_and_wider_backbones_export_as_well(networks: Networks, name: str) -> None:
    network = networks(name)
    options, image = network.options(stop_stride=4), network.image(64, 64)
    graphs = build_graphs(network.classifier, options)
    peaks, prms = Compiled(graphs).maps(image)
    assert prms.shape == (len(peaks), 16, 16)
    assert_maps_agree(prms, oracle_maps(graphs, options, image, peaks), TOLERANCE)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_one_pair_of_graphs_serves_all_sizes(networks: Networks, name: str) -> None:
    network = networks(name)
    options = network.options()
    graphs = build_graphs(network.classifier, options)
    compiled = Compiled(graphs)
    for size in ((32, 32), (32, 96), (64, 64)):
        image = network.image(*size)
        peaks, prms = compiled.maps(image)
        assert prms.shape == (len(peaks), size[0] // 2, size[1] // 2)
        assert_maps_agree(prms, oracle_maps(graphs, options, image, peaks), TOLERANCE)


@pytest.mark.parametrize("name", KINDS)
def test_openvino_computes_what_onnxruntime_computes(networks: Networks, name: str) -> None:
    if BACKENDS["openvino"].missing():
        pytest.skip("openvino is not installed")
    network = networks(name)
    graphs = build_graphs(network.classifier, network.options())
    image = network.image(64, 96)
    onnxruntime, openvino = (Compiled(graphs, engine) for engine in ("onnxruntime", "openvino"))
    expected, found = onnxruntime.forward(image), openvino.forward(image)
    assert list(found) == list(expected)
    for output in ("class_maps", "class_scores", "peak_scores", *network.model.taps):
        scale = np.abs(expected[output]).max()
        np.testing.assert_allclose(found[output], expected[output], atol=1e-4 * scale)
    np.testing.assert_array_equal(found["peaks"], expected["peaks"])
    peaks = best_peaks(expected)
    assert_maps_agree(openvino.backprop(peaks, found), onnxruntime.backprop(peaks, expected), TOLERANCE)


def test_exports_are_reproducible(tiny: Network) -> None:
    first, second = (build_graphs(tiny.classifier, tiny.options()) for _ in range(2))
    assert first.forward.SerializeToString() == second.forward.SerializeToString()
    assert first.backprop.SerializeToString() == second.backprop.SerializeToString()


def test_graphs_are_valid_onnx(tiny: Network) -> None:
    graphs = build_graphs(tiny.classifier, tiny.options())
    for graph in (graphs.forward, graphs.backprop, graphs.classifier):
        onnx.checker.check_model(graph, full_check=True)


def test_the_manifest_gets_the_signature_that_engines_see(tiny: Network) -> None:
    graphs = build_graphs(tiny.classifier, tiny.options(max_peaks=5))
    spec = graph_spec("forward.onnx", graphs.forward)
    image = tiny.image(64, 96)
    found = Compiled(graphs).forward(image)
    assert (spec.inputs[0].name, spec.inputs[0].shape) == ("image", (1, 3, "height", "width"))
    assert [output.name for output in spec.outputs] == list(found)
    sides = {"height": 64, "width": 96}
    sides |= {f"{name}/{2**n}": side >> n for name, side in sides.items() for n in range(1, 6)}
    for output in spec.outputs:
        shape = tuple(size if isinstance(size, int) else sides[size] for size in output.shape)
        assert found[output.name].shape == shape, output.name
        assert found[output.name].dtype.name == output.dtype
