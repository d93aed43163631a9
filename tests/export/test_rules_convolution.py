"""Convolutions of every kind: graphs against loops."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fixtures.small_nets import SmallNet, assert_equals_loops, options

from prm_export.errors import ExportError
from prm_export.pipeline import build_graphs

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pointwise": {"kernel": (1, 1)},
    "pointwise grouped": {"kernel": (1, 1), "group": 2},
    "pointwise strided": {"kernel": (1, 1), "strides": (2, 2)},
    "pointwise padded": {"kernel": (1, 1), "pads": (1, 1, 1, 1)},
    "rectangular": {"kernel": (1, 5)},
    "grouped": {"channels": 8, "group": 2},
    "grouped and strided": {"channels": 8, "group": 2, "strides": (2, 2)},
    "depthwise": {"channels": 6, "group": 6},
    "depthwise, two filters each": {"channels": 12, "group": 6},
    "depthwise and strided": {"channels": 6, "group": 6, "strides": (2, 2)},
    "depthwise and dilated": {"channels": 6, "group": 6, "dilations": (2, 2), "pads": (2, 2, 2, 2)},
    "depthwise, asymmetrically padded": {"channels": 6, "group": 6, "pads": (0, 1, 2, 1)},
    "depthwise, padded beyond its kernel": {"channels": 6, "group": 6, "pads": (3, 3, 3, 3)},
    "strided": {"strides": (2, 2)},
    "strided, padded as TensorFlow does": {"strides": (2, 2), "pads": (0, 0, 1, 1)},
    "strided, unpadded": {"strides": (2, 2), "pads": (0, 0, 0, 0)},
    "strided along one axis": {"strides": (1, 2)},
    "stride larger than kernel": {"kernel": (2, 2), "strides": (4, 4), "pads": (0, 0, 0, 0)},
    "padded along one axis": {"strides": (2, 2), "pads": (0, 1, 0, 0)},
    "even kernel": {"kernel": (4, 4), "strides": (2, 2), "pads": (1, 1, 1, 1)},
    "dilated": {"dilations": (2, 3), "pads": (2, 3, 2, 3)},
    "dilated and strided": {"dilations": (2, 2), "strides": (2, 2), "pads": (2, 2, 1, 1)},
    "unpadded": {"pads": (0, 0, 0, 0)},
}


@pytest.mark.parametrize("attributes", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("on_top", ["pointwise", "spatial"])
def test_convolutions_share_p_out_as_eq_4_and_5(attributes: dict[str, Any], on_top: str) -> None:
    net = SmallNet(len(attributes))
    V = net.relu(net.conv(net.relu(net.conv("image", 6)), **attributes))
    if on_top == "spatial":
        V = net.relu(net.conv(V))
    assert_equals_loops(net.classifier(V))


@pytest.mark.parametrize("seed", range(3))
def test_linear_bottlenecks_have_positive_evidence_alone(seed: int) -> None:
    net = SmallNet(seed)
    linear = net.conv(net.relu(net.conv("image", 6)), 4, (1, 1))
    assert_equals_loops(net.classifier(net.relu(net.conv(linear, 6))))


@pytest.mark.parametrize("seed", range(3))
def test_a_value_with_several_consumers_gets_the_sum_of_their_shares(seed: int) -> None:
    net = SmallNet(seed)
    x = net.conv("image", 4)
    a, b = net.conv(net.relu(x), 4), net.conv(x, 4, (1, 1))
    assert_equals_loops(net.classifier(net.relu(net.add(a, b))))


def test_computed_weights_have_no_rule() -> None:
    net = SmallNet()
    x = net.conv("image", 4)
    kernel = net.pool("AveragePool", net.conv("image", 4), (2, 2))
    classifier = net.classifier(net.node("Conv", [x, kernel], 4))
    with pytest.raises(ExportError, match="Conv 'conv_3': input 1 has to be a constant"):
        build_graphs(classifier, options())
