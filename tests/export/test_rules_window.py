"""Which placements of a sliding window can be undone, and which are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.fixtures.small_nets import SmallNet, assert_equals_loops, options

from prm_export.errors import ExportError
from prm_export.pipeline import build_graphs

Layer = Callable[[SmallNet, str], str]
REFUSED: dict[str, tuple[Layer, str]] = {
    "automatic padding": (
        lambda net, x: net.node("Conv", [x, net.constant((4, 4, 3, 3))], 4, auto_pad="SAME_UPPER"),
        "Conv 'conv_1' pads automatically: export the network with explicit pads",
    ),
    "sides that are no multiples of the stride": (
        lambda net, x: net.conv(x, strides=(64, 64), pads=(0, 0, 0, 0)),
        r"Conv 'conv_1': its input's size does not follow from its output's \(448×352 -> 7×6\)",
    ),
    "a window that ends beyond the input": (
        lambda net, x: net.pool("MaxPool", x, (3, 3), strides=(2, 2), ceil_mode=1),
        "MaxPool 'maxpool_1': its input's size does not follow .* and no ceil_mode",
    ),
}


@pytest.mark.parametrize(("layer", "message"), REFUSED.values(), ids=REFUSED)
def test_placements_that_cannot_be_undone_are_refused(layer: Layer, message: str) -> None:
    net = SmallNet()
    classifier = net.classifier(net.relu(net.conv(layer(net, net.conv("image")))))
    with pytest.raises(ExportError, match=message):
        build_graphs(classifier, options())


@pytest.mark.parametrize("pads", [(0, 1, 0, 0), (1, 0, 1, 1), (0, 0, 1, 1), (0, 1, 1, 0)])
def test_the_axes_may_leave_different_remainders(pads: tuple[int, ...]) -> None:
    net = SmallNet()
    x = net.relu(net.conv("image", strides=(2, 2), pads=pads))
    assert_equals_loops(net.classifier(net.relu(net.conv(x, strides=(1, 2)))))


def test_a_ceil_mode_without_effect_is_taken() -> None:
    net = SmallNet()
    pooled = net.pool("MaxPool", net.conv("image"), strides=(2, 2), ceil_mode=1)
    assert_equals_loops(net.classifier(net.relu(net.conv(pooled))))
