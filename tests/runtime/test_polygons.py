from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tests.fixtures.shapes import awkward_masks, iou

from prm_runtime.polygons import FAITHFUL_IOU, join_rings, mask_polygons, polygon_mask


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_exact_outlines_give_the_mask_back(mask: np.ndarray) -> None:
    polygons = mask_polygons(mask, simplify=False)
    np.testing.assert_array_equal(polygon_mask(polygons, *mask.shape), mask)
    assert len(polygons) == cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12).filter(min)), st.integers(1, 9))
def test_simplified_outlines_are_faithful(mask: np.ndarray, zoom: int) -> None:
    mask = mask.repeat(zoom, axis=0).repeat(zoom, axis=1)
    if mask.any():
        assert iou(polygon_mask(mask_polygons(mask), *mask.shape), mask) >= FAITHFUL_IOU


@pytest.mark.parametrize("n", range(5))
def test_parts_and_holes_in_one_ring(n: int) -> None:
    mask = awkward_masks()[n]
    joined = join_rings(mask_polygons(mask, simplify=False))
    np.testing.assert_array_equal(polygon_mask([joined], *mask.shape), mask)


def test_simplified_outlines_have_few_corners_and_the_largest_part_is_first() -> None:
    disc, _, two_parts, *_ = awkward_masks()
    (outline,) = mask_polygons(disc)
    assert len(outline) < len(mask_polygons(disc, simplify=False)[0]) / 2
    areas = [polygon_mask([ring], *disc.shape).sum() for ring in mask_polygons(two_parts)]
    assert len(areas) == 2
    assert areas[0] > areas[1]


def test_nothing_has_no_outline() -> None:
    assert mask_polygons(np.zeros((3, 4), np.bool_)) == []
    assert not polygon_mask([], 3, 4).any()
