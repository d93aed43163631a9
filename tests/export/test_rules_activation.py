"""ReLU and clips: graphs against loops."""

from __future__ import annotations

import pytest
from tests.fixtures.small_nets import SmallNet, assert_equals_loops

RANGES = {"ReLU6-like": (0.0, 1.0), "hard tanh": (-1.0, 1.0), "above zero": (0.2, 1.0)}


@pytest.mark.parametrize("bounds", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("seed", range(2))
def test_clips_hand_p_on(bounds: tuple[float, float], seed: int) -> None:
    net = SmallNet(seed)
    x = net.clip(net.conv("image", 6), *bounds)
    assert_equals_loops(net.classifier(net.clip(net.conv(x), *bounds)))


@pytest.mark.parametrize("activation", ["relu", "clip"])
@pytest.mark.parametrize("seed", range(2))
def test_an_activation_may_be_one_of_several_consumers(activation: str, seed: int) -> None:
    net = SmallNet(seed)
    x = net.conv("image", 6)
    y = net.add(x, net.conv(getattr(net, activation)(x), 6, (1, 1)))
    assert_equals_loops(net.classifier(net.relu(net.conv(y))))


def test_activations_may_follow_each_other() -> None:
    net = SmallNet(1)
    x = net.clip(net.relu(net.conv("image", 6)), 0.0, 0.5)
    assert_equals_loops(net.classifier(net.clip(net.relu(net.conv(x)))))
