"""Sums: graphs against loops."""

from __future__ import annotations

import pytest
from tests.fixtures.small_nets import SmallNet, assert_equals_loops, options

from prm_export.errors import ExportError
from prm_export.pipeline import build_graphs


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("activation", ["relu", "clip", None])
def test_each_branch_gets_its_share_of_the_positive_sum(seed: int, activation: str | None) -> None:
    net = SmallNet(seed)
    x = net.relu(net.conv("image", 6))
    y = net.add(net.conv(net.relu(net.conv(x, 6))), net.conv(x, 4, (1, 1)))
    y = y if activation is None else getattr(net, activation)(y)
    assert_equals_loops(net.classifier(net.relu(net.conv(y))))


@pytest.mark.parametrize("seed", range(3))
def test_a_skip_connection_hands_on_the_input_itself(seed: int) -> None:
    net = SmallNet(seed)
    x = net.conv("image", 6)
    for _ in range(2):
        x = net.add(x, net.conv(net.clip(net.conv(x, 8)), 6, (1, 1)))
    assert_equals_loops(net.classifier(net.relu(net.conv(x))))


@pytest.mark.parametrize("image_first", [True, False])
def test_one_branch_may_be_the_image(image_first: bool) -> None:
    net = SmallNet(1)
    branches = ["image", net.conv("image", 3)]
    y = net.add(*branches) if image_first else net.add(*reversed(branches))
    assert_equals_loops(net.classifier(net.relu(net.conv(y))))


def test_sums_below_the_top_stay_at_the_peak() -> None:
    net = SmallNet(1)
    x = net.relu(net.conv("image", 6))
    assert_equals_loops(net.classifier(net.relu(net.add(x, net.conv(x, 6, (1, 1))))))


def test_a_value_added_to_itself_gets_both_shares() -> None:
    net = SmallNet(1)
    x = net.relu(net.conv("image"))
    assert_equals_loops(net.classifier(net.relu(net.conv(net.add(x, x)))))


def test_branches_that_are_broadcast_are_refused() -> None:
    net = SmallNet()
    x = net.add(net.conv("image"), net.constant((1, 4, 1, 1)))
    with pytest.raises(ExportError, match=r"Add 'add_1': only the sum of two branches of the same shape"):
        build_graphs(net.classifier(net.relu(net.conv(x))), options())
