"""The last step of a walk, phase by phase: graphs against loops."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from tests.fixtures.small_nets import (
    Compiled,
    SmallNet,
    assert_maps_agree,
    loop_maps,
    options,
    random_image,
)

from prm_export.pipeline import Graphs, build_graphs

IN_PHASES: dict[str, dict[str, Any]] = {
    "3×3": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
    "3×3, padded as TensorFlow does": {"kernel": (3, 3), "pads": (0, 0, 1, 1)},
    "5×5, padded as TensorFlow does": {"kernel": (5, 5), "pads": (1, 1, 2, 2)},
    "even": {"kernel": (4, 4), "pads": (1, 1, 1, 1)},
    "no larger than its stride": {"kernel": (2, 2), "pads": (0, 0, 0, 0)},
    "rectangular": {"kernel": (3, 5), "pads": (1, 2, 1, 2)},
}
WHOLE: dict[str, dict[str, Any]] = {
    "reaching beyond one side": {"kernel": (2, 2), "pads": (1, 1, 0, 0)},
    "dilated": {"kernel": (3, 3), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
    "two filters each": {"kernel": (3, 3), "pads": (1, 1, 1, 1), "channels": 16},
    "grouped": {"kernel": (3, 3), "pads": (1, 1, 1, 1), "group": 4},
    "strided unevenly": {"kernel": (3, 3), "pads": (1, 1, 1, 1), "strides": (2, 1)},
}


def net(kernel: tuple[int, int], **attributes: Any) -> onnx.ModelProto:
    """An inverted bottleneck with a strided layer inside: a walk to stride 2 ends below that layer."""
    small = SmallNet(len(attributes) + sum(kernel))
    stem = small.clip(small.conv("image", 4, pads=(0, 0, 1, 1), strides=(2, 2)))
    wide = small.clip(small.conv(stem, 8, (1, 1)))
    layer = {"channels": 8, "group": 8, "strides": (2, 2), **attributes}
    inside = small.clip(small.conv(wide, kernel=kernel, **layer))
    return small.classifier(small.relu(small.conv(small.conv(inside, 24, (1, 1)), 24, group=24)))


def graphs(classifier: onnx.ModelProto, **changes: Any) -> Graphs:
    return build_graphs(classifier, options(2, stop_early=True, lazy_gains=True, **changes))


def operators(built: Graphs) -> list[str]:
    return [node.op_type for node in built.backprop.graph.node]


@pytest.mark.parametrize("layer", IN_PHASES.values(), ids=IN_PHASES)
@pytest.mark.parametrize("changes", [{}, {"split_reach": 1}], ids=["apart", "joined"])
def test_phases_share_p_out_as_eq_4_and_5(layer: dict[str, Any], changes: dict[str, Any]) -> None:
    classifier, image = net(**layer), random_image(3)
    built = graphs(classifier, **changes)
    assert "DepthToSpace" in operators(built)
    assert "ConvTranspose" not in operators(built)
    peaks, prms = Compiled(built).maps(image, 1 if changes else 3)  # one peak alone shares with none
    assert len(peaks) > 0
    assert_maps_agree(prms, loop_maps(classifier, image, peaks, built.stop))


@pytest.mark.parametrize("layer", WHOLE.values(), ids=WHOLE)
def test_other_layers_are_transposed_whole(layer: dict[str, Any]) -> None:
    classifier, image = net(**layer), random_image(3)
    built = graphs(classifier)
    assert "DepthToSpace" not in operators(built)
    peaks, prms = Compiled(built).maps(image)
    assert len(peaks) > 0
    assert_maps_agree(prms, loop_maps(classifier, image, peaks, built.stop))


def test_the_wide_map_below_is_never_made_at_full_size() -> None:
    built = graphs(net(**IN_PHASES["3×3"]))
    made = [(node.op_type, node.output[0]) for node in built.backprop.graph.node]
    fine = {
        value.name
        for value in built.backprop.graph.value_info
        if "height/2" in [dim.dim_param for dim in value.type.tensor_type.shape.dim]
    }
    assert ("Slice", next(name for op_type, name in made if op_type == "Slice")) in made
    assert not fine
