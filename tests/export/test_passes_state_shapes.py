"""Shapes that graphs state of what they compute on the way are those that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.fixtures.networks import Network
from tests.fixtures.small_nets import Compiled, best_peaks

from prm_export.pipeline import Graphs, build_graphs
from prm_runtime.backends import create_backend

Networks = Callable[[str], Network]
HEIGHT, WIDTH = 96, 160


def wrong_shapes(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> tuple[int, list[str]]:
    """How many maps a graph states the shape of, and which come out otherwise."""
    stated = {}
    for value in model.graph.value_info:
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if len(dims) == 4 and any(isinstance(dim, str) for dim in dims):
            stated[value.name] = tuple(_number(dim) for dim in dims)
    with_all = onnx.ModelProto()
    with_all.CopyFrom(model)
    made = {value.name: value for value in model.graph.value_info}
    with_all.graph.output.extend(made[name] for name in stated)
    outputs = create_backend("onnxruntime", 1).compile(with_all.SerializeToString()).run(inputs)
    return len(stated), [name for name, shape in stated.items() if outputs[name].shape != shape]


def _number(dim: str | int) -> int:
    if isinstance(dim, int):
        return dim
    name, _, stride = dim.partition("/")
    return {"height": HEIGHT, "width": WIDTH}[name] // int(stride or 1)


def graphs(networks: Networks, **changes: Any) -> tuple[Network, Graphs]:
    network = networks("efficientnet_lite0")
    return network, build_graphs(network.classifier, network.options(lazy_gains=True, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"stop_stride": 16, "stop_early": True, "split_reach": 1},
        {"stop_stride": 4, "split_stride": 16},
        {"stop_stride": 8},
    ],
    ids=["early", "late", "apart"],
)
def test_stated_shapes_come_out(networks: Networks, changes: dict[str, Any]) -> None:
    network, built = graphs(networks, **changes)
    image = network.image(HEIGHT, WIDTH)
    outputs = Compiled(built).forward(image)
    stated, wrong = wrong_shapes(built.forward, {"image": image})
    assert stated > 50
    assert not wrong
    gains = {value.name: outputs[value.name] for value in built.backprop.graph.input if value.name != "peaks"}
    stated, wrong = wrong_shapes(built.backprop, {"peaks": best_peaks(outputs, 2), **gains})
    assert stated > 30
    assert not wrong


def test_a_batch_is_stated_too(networks: Networks) -> None:
    network, built = graphs(networks, stop_stride=16, stop_early=True, split_reach=1, batch=2)
    images = np.concatenate([network.image(HEIGHT, WIDTH, seed) for seed in (0, 1)])
    stated, wrong = wrong_shapes(built.forward, {"image": images})
    assert stated > 50
    assert not wrong


def test_where_walks_have_joined_gains_are_taken_apart(networks: Networks) -> None:
    """Products of two wide maps are divided afterwards; walks of each peak are multiplied by ready gains."""

    def products_divided(built: Graphs) -> int:
        nodes = built.backprop.graph.node
        products = {node.output[0] for node in nodes if node.op_type == "Mul"}
        return sum(node.op_type == "Div" and node.input[0] in products for node in nodes)

    _, joined = graphs(networks, stop_stride=16, stop_early=True, split_reach=1)
    _, apart = graphs(networks, stop_stride=16, stop_early=True)
    assert products_divided(joined) >= 6
    assert products_divided(apart) == 0
