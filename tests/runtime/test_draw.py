from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from prm_runtime.draw import draw_instances, draw_outlines, draw_prm, instance_colours
from prm_runtime.instances import Instances, mask_boxes


def squares(size: tuple[int, int], corners: list[tuple[int, int]], class_ids: list[int]) -> Instances:
    masks = np.zeros((len(corners), *size), np.bool_)
    side = min(size) // 5
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y : y + side, x : x + side] = True
    n = len(corners)
    return Instances(
        tuple(f"class {c}" for c in range(30)),
        np.int64(class_ids),
        np.full(n, 0.9, np.float32),
        np.zeros((n, 2), np.float32),
        mask_boxes(masks),
        masks,
    )


@pytest.mark.parametrize("size", [(20, 30), (512, 512), (1080, 1920)])
def test_masks_are_tinted_and_the_rest_is_left_alone(size: tuple[int, int]) -> None:
    image = np.resize(astronaut(), (*size, 3)).astype(np.uint8)
    before = image.copy()
    instances = squares(size, [(size[1] // 2, size[0] * 3 // 4)], [3])
    drawn = draw_instances(image, instances)
    np.testing.assert_array_equal(image, before)
    assert drawn.shape == image.shape
    assert (drawn != image)[instances.masks[0]].any(axis=-1).mean() > 0.9
    bottom_left = np.s_[size[0] * 9 // 10 :, : size[1] // 3]
    np.testing.assert_array_equal(drawn[bottom_left], image[bottom_left])


def test_no_instances_change_nothing() -> None:
    image = astronaut()
    np.testing.assert_array_equal(draw_instances(image, Instances.empty(("cat",), *image.shape[:2])), image)


def test_colours_are_distinct_and_stay_when_the_order_of_scores_changes() -> None:
    instances = squares((100, 200), [(0, 0), (50, 0), (100, 0), (150, 50)], [3, 3, 4, 28])
    colours = instance_colours(instances)
    assert len(set(colours)) == 4
    order = [2, 0, 3, 1]
    assert instance_colours(instances.select(order)) == [colours[n] for n in order]


def test_heat_map_is_brightest_where_the_response_is() -> None:
    prm = np.zeros((32, 32), np.float32)
    prm[8:12, 20:24] = 1 / 16
    heat = draw_prm(np.zeros((64, 64, 3), np.uint8), prm)
    assert heat[18:22, 42:46].mean() > 200
    assert heat[40:].max() < 30


@pytest.mark.parametrize("width", [40, 300, 1200])
def test_outlines_leave_the_inside_alone_and_captions_fit_below(width: int) -> None:
    image = np.full((200, width, 3), 90, np.uint8)
    mask = np.zeros((200, width), np.bool_)
    mask[50:150, 8:32] = True
    drawn = draw_outlines(image, [(mask, (0, 255, 0))], "a caption that is longer than some pictures")
    assert drawn.shape[0] > 200
    assert drawn.shape[1] == width
    assert (drawn[60:140, 15:25] == 90).all()
    assert (drawn[50:150, 5:12, 1] > 200).any()
    strip = drawn[200:]
    assert (strip[:, -2:] == 0).all()
    assert (strip > 100).any()
    assert (image == 90).all()
