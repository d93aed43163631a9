"""Gains that the reverse graph computes: the same Peak Response Maps, and a forward graph without them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.fixtures.networks import Network
from tests.fixtures.small_nets import Compiled, assert_maps_agree

from prm_export.passes.lazy_gains import HANDED
from prm_export.pipeline import Graphs, build_graphs

Networks = Callable[[str], Network]


def both(network: Network, **changes: Any) -> tuple[Graphs, Graphs]:
    """The graphs with gains in the forward graph, and with gains in the reverse graph."""
    eager, lazy = (
        build_graphs(network.classifier, network.options(lazy_gains=late, **changes))
        for late in (False, True)
    )
    return eager, lazy


def prms(graphs: Graphs, image: NDArray[np.float32], peaks: NDArray[np.int64]) -> NDArray[np.float32]:
    compiled = Compiled(graphs)
    outputs = compiled.forward(image)
    return compiled.backprop(peaks, outputs)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"split_stride": 8},
        {"split_reach": 1},
        {"stop_stride": 1},
        {"stop_stride": 8, "stop_early": True},
    ],
)
def test_the_maps_are_those_of_gains_from_the_forward_graph(tiny: Network, changes: dict[str, Any]) -> None:
    eager, lazy = both(tiny, **changes)
    image = tiny.image(96, 128)
    peaks, expected = Compiled(eager).maps(image, 5)
    assert_maps_agree(prms(lazy, image, peaks), expected, 1e-5)


def test_so_they_are_by_the_rules_of_the_published_code(tiny: Network) -> None:
    eager, lazy = both(tiny, rules="reference", stop_stride=4)
    image = tiny.image(64, 96)
    peaks, expected = Compiled(eager).maps(image, 3)
    np.testing.assert_allclose(prms(lazy, image, peaks), expected, rtol=1e-3, atol=1e-7)


def test_the_forward_graph_is_the_bare_network(networks: Networks) -> None:
    eager, lazy = both(networks("efficientnet_lite0"), split_stride=8)

    def convolutions(model: onnx.ModelProto) -> int:
        return sum(node.op_type == "Conv" for node in model.graph.node)

    network_alone = convolutions(eager.classifier)
    taps = convolutions(lazy.forward) - network_alone
    assert taps <= 4  # feature taps, and no normaliser
    assert convolutions(eager.forward) > 1.9 * network_alone
    names = [value.name for value in lazy.forward.graph.output]
    assert not [name for name in names if name.startswith("gain_0")]


def test_what_is_handed_over_is_narrow(networks: Networks) -> None:
    network = networks("efficientnet_lite0")
    eager, lazy = both(network)
    outputs = [Compiled(graphs).forward(network.image(96, 64)) for graphs in (eager, lazy)]
    given, handed = (
        sum(value.size for name, value in out.items() if name.startswith("gain_")) for out in outputs
    )
    assert handed < given / 4
    widest = max(value.shape[1] for name, value in outputs[1].items() if name.startswith(HANDED))
    assert widest < 1000  # neither the inside of the last blocks nor the features under the class layer


def test_what_follows_from_a_sum_is_not_handed_over(networks: Networks) -> None:
    network = networks("efficientnet_lite0")
    _, lazy = both(network, stop_stride=16, stop_early=True, split_reach=1)
    outputs = Compiled(lazy).forward(network.image(96, 64))
    handed = [value for name, value in outputs.items() if name.startswith(HANDED)]
    assert len(handed) > 3
    for a, b in combinations(handed, 2):
        sums = [c for c in handed if a.shape == b.shape == c.shape and np.allclose(a + b, c, atol=1e-4)]
        assert not sums


def test_weights_are_stored_once(networks: Networks) -> None:
    network = networks("efficientnet_lite0")
    _, lazy = both(network)
    parameters = sum(
        prod(tensor.dims) for tensor in lazy.classifier.graph.initializer if len(tensor.dims) == 4
    )
    stored = sum(prod(tensor.dims) for tensor in lazy.backprop.graph.initializer)
    constants = sum(
        prod(node.attribute[0].t.dims) for node in lazy.backprop.graph.node if node.op_type == "Constant"
    )
    assert stored + constants < 1.1 * parameters


def test_gains_above_the_first_spatial_layer_are_computed_at_the_peaks_alone(networks: Networks) -> None:
    network = networks("efficientnet_lite0")
    _, lazy = both(network)
    features = 1280  # of the class layer: 1×1 convolutions alone lie above the last spatial layer
    weights = {tensor.name: tuple(tensor.dims) for tensor in lazy.backprop.graph.initializer}
    wide = {name for name, dims in weights.items() if features in dims[:1]}
    assert wide
    graph = onnx.shape_inference.infer_shapes(lazy.backprop, data_prop=True).graph
    ranks = {
        len(value.type.tensor_type.shape.dim)
        for value in graph.value_info
        if [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:2] == [features]
    }
    assert 2 in ranks
    made = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    convolved = [made[node.output[0]] for node in graph.node if node.op_type == "Conv"]
    assert convolved
    assert features not in [dims[1].dim_value for dims in convolved]
