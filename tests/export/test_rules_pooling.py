"""Max and average pools: graphs against loops."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fixtures.small_nets import SmallNet, assert_equals_loops

PLACEMENTS: dict[str, dict[str, Any]] = {
    "halving": {"strides": (2, 2)},
    "overlapping": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
    "asymmetrically padded": {"kernel": (3, 3), "strides": (2, 2), "pads": (0, 0, 1, 1)},
    "of stride 1": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
    "along one axis": {"kernel": (1, 2), "strides": (1, 2)},
    "dilated": {"kernel": (3, 3), "dilations": (2, 2), "pads": (2, 2, 2, 2)},
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "max": ("MaxPool", {}),
    "average": ("AveragePool", {}),
    "average with padding": ("AveragePool", {"count_include_pad": 1}),
}


@pytest.mark.parametrize(("op_type", "counting"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_pools_share_p_out_as_convolutions_of_ones(
    op_type: str, counting: dict[str, Any], placement: dict[str, Any]
) -> None:
    net = SmallNet(1)
    linear = net.conv("image", 4)  # negative values too
    pooled = net.pool(op_type, linear, **placement, **counting)
    assert_equals_loops(net.classifier(net.relu(net.conv(pooled))))


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_pools_may_sit_on_the_image_and_below_the_top(op_type: str) -> None:
    net = SmallNet(2)
    pooled = net.pool(op_type, "image", strides=(2, 2))
    top = net.pool(op_type, net.relu(net.conv(pooled)), strides=(2, 2))
    assert_equals_loops(net.classifier(top))
