"""Operators that only move values: graphs against loops."""

from __future__ import annotations

import pytest
from tests.fixtures.small_nets import SmallNet, assert_equals_loops, options

from prm_export.errors import ExportError
from prm_export.pipeline import build_graphs


@pytest.mark.parametrize("seed", range(3))
def test_concatenated_branches_get_their_own_channels(seed: int) -> None:
    net = SmallNet(seed)
    x = net.conv("image", 5)
    parts = [net.relu(net.conv(x, 3)), x, net.pool("MaxPool", x, (3, 3), pads=(1, 1, 1, 1))]
    assert_equals_loops(net.classifier(net.relu(net.conv(net.concat(*parts)))))


def test_concatenations_below_the_top_stay_at_the_peak() -> None:
    net = SmallNet(1)
    x = net.relu(net.conv("image", 5))
    assert_equals_loops(net.classifier(net.concat(x, net.relu(net.conv(x, 3, (1, 1))))))


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 0, 1, 1), (2, 0, 0, 1)])
def test_zero_padding_that_no_convolution_takes_up_is_cut_off(pads: tuple[int, int, int, int]) -> None:
    net = SmallNet(1)
    padded = net.pad(net.relu(net.conv("image")), *pads)
    pooled = net.pool("MaxPool", padded, (3, 3))
    assert_equals_loops(net.classifier(net.relu(net.conv(pooled))))


@pytest.mark.parametrize("op_type", ["Identity", "Dropout"])
def test_operators_that_do_nothing_are_passed(op_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prm_export.pipeline.simplify", lambda model, *_: model)  # which would remove them
    net = SmallNet(1)
    x = net.node(op_type, [net.relu(net.conv("image"))], 4)
    assert_equals_loops(net.classifier(net.node(op_type, [net.relu(net.conv(x))], 4)))


def test_only_channels_are_concatenated() -> None:
    net = SmallNet()
    x = net.conv("image")
    tall = net.node("Concat", [x, x], 4, axis=2)
    with pytest.raises(ExportError, match=r"Concat 'concat_1': only the concatenation of channels"):
        build_graphs(net.classifier(net.relu(net.conv(tall))), options())


def test_only_zero_padding_has_a_rule() -> None:
    net = SmallNet()
    padded = net.pad(net.conv("image"), 1, 1, 1, 1, mode="reflect")
    classifier = net.classifier(net.relu(net.conv(padded, pads=(0, 0, 0, 0))))
    with pytest.raises(ExportError, match="Pad 'pad_1': only padding of rows and columns with zeros"):
        build_graphs(classifier, options())
