from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
import pytest
from tests.fixtures.small_nets import SmallNet, residual_net

from prm_export.errors import ExportError
from prm_export.reverse_path import ReversePath, find_reverse_path


def path_of(classifier: onnx.ModelProto, stop_stride: int = 1) -> ReversePath:
    model = ir.from_proto(classifier)
    return find_reverse_path(model, model.graph.outputs[0], stop_stride)


def names(path: ReversePath) -> list[str | None]:
    return [node.name for node in path.nodes]


def test_layers_come_in_the_order_of_the_walk() -> None:
    net = SmallNet()
    stem = net.relu(net.conv("image", strides=(2, 2)))
    y = net.add(stem, net.conv(stem))
    path = path_of(net.classifier(net.relu(y)))
    assert names(path) == ["relu_4", "add_3", "conv_2", "relu_1", "conv_0"]
    assert path.top.name == "conv_5"


@pytest.mark.parametrize(("stride", "stop"), [(1, "image"), (2, "clip_1"), (4, "maxpool_6")])
def test_the_walk_stops_nearest_to_the_image_behind_the_activation(stride: int, stop: str) -> None:
    assert path_of(residual_net(), stride).stop.name == stop


def test_a_walk_inside_a_block_goes_on_to_where_its_branches_meet() -> None:
    net = SmallNet()
    x = net.relu(net.conv("image", strides=(2, 2)))
    left, right = net.conv(x, strides=(2, 2)), net.conv(x, kernel=(1, 1), strides=(2, 2))
    joined = net.relu(net.add(net.relu(left), right))
    path = path_of(net.classifier(net.relu(net.conv(joined))), 4)
    assert path.stop.name == joined


def test_a_side_branch_is_no_part_of_the_walk() -> None:
    net = SmallNet()
    x = net.relu(net.conv("image"))
    net.conv(x, 16, (1, 1))  # a feature tap
    assert names(path_of(net.classifier(net.relu(net.conv(x))))) == ["relu_4", "conv_3", "relu_1", "conv_0"]


def test_sides_are_fractions_of_the_images() -> None:
    path = path_of(residual_net())
    assert path.symbolic_sides(448, 352) == ("height", "width")
    assert path.symbolic_sides(112, 88) == ("height/4", "width/4")
    assert path.symbolic_sides(223, 175) == ("height 448->223", "width 352->175")


def test_a_stride_that_the_network_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ExportError, match=r"stop at with stride 8: use --stop-stride with one of 1, 2, 4$"):
        path_of(residual_net(), 8)


def test_a_shape_that_is_computed_at_run_time_is_refused() -> None:
    net = SmallNet()
    x = net.relu(net.conv("image", strides=(2, 2)))
    sides = net.node(
        "Cast", [net.node("ReduceMax", [x, net.axes(0, 2, 3)], 4, keepdims=0)], 4, to=onnx.TensorProto.INT64
    )
    reshaped = net.node("Reshape", [x, sides], 4)
    with pytest.raises(ExportError, match="the shape of 'relu_5' does not follow from the image's"):
        path_of(net.classifier(net.relu(reshaped)), 8)


HEADS: dict[str, tuple[Callable[[SmallNet, str], str], str]] = {
    "another operator": (
        lambda net, x: net.pool("MaxPool", x, (1, 1)),
        "come out of a 1×1 Conv, but they come out of MaxPool",
    ),
    "a larger kernel": (lambda net, x: net.conv(x), "Conv 'conv_1': .* come out of a plain 1×1 Conv"),
    "groups": (lambda net, x: net.conv(x, 4, (1, 1), group=2), "come out of a plain 1×1 Conv"),
}


@pytest.mark.parametrize(("head", "message"), HEADS.values(), ids=HEADS)
def test_class_maps_have_to_come_out_of_a_pointwise_convolution(
    head: Callable[[SmallNet, str], str], message: str
) -> None:
    net = SmallNet()
    M = head(net, net.conv("image"))
    model = ir.from_proto(net.classifier(M))
    with pytest.raises(ExportError, match=message):
        find_reverse_path(model, next(node for node in model.graph if node.name == M).outputs[0], 1)


def test_class_maps_that_are_the_image_are_refused() -> None:
    model = ir.from_proto(residual_net())
    with pytest.raises(ExportError, match="they come out of the graph's input"):
        find_reverse_path(model, model.graph.inputs[0], 1)
