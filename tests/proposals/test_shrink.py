"""Shrunk pictures and their gradients, against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from tests.oracles import preprocess as oracle

from prm_proposals.boundary import boundary_strength, lab_image
from prm_proposals.shrink import shrink, shrink_planes


@pytest.mark.parametrize(
    "size", [(192, 448), (100, 151), (300, 450), (150, 225), (299, 450), (1, 1), (7, 300)]
)
def test_shrunk_pictures_are_those_of_opencv_but_for_ties(size: tuple[int, int]) -> None:
    image = data.chelsea()  # 300 x 451
    found, expected = shrink(image, *size), oracle.shrink(image, *size)
    assert found.shape == expected.shape
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.005


def test_a_view_and_a_side_that_grows_are_shrunk_too() -> None:
    image = data.astronaut()[::2, ::-1]
    for size in ((100, 170), (300, 100)):
        apart = np.abs(shrink(image, *size).astype(int) - oracle.shrink(image, *size))
        assert apart.max() <= 1


@pytest.mark.parametrize("shape", [(60, 80), (1, 30), (30, 1), (1, 1), (2, 2)])
def test_boundaries_are_those_of_the_gradient_by_definition(shape: tuple[int, int]) -> None:
    lab = lab_image(shrink(data.coffee(), *shape))
    gradient = oracle.gradient(lab, 2.0)
    found = boundary_strength(lab)
    if gradient.mean() < 1e-6:
        assert not found.any()
        return
    surround = np.asarray(gradient, np.float32)
    expected = surround / (oracle.cv2.GaussianBlur(surround, (0, 0), 8.0) + 0.5 * surround.mean())
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(("size", "small"), [((27, 40), (19, 28)), ((64, 48), (31, 48))])
def test_planes_hold_what_the_values_of_the_smaller_picture_stand_for(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    table = random.random((3, 256), dtype=np.float32)
    planes = shrink_planes(image, *small, table)
    assert planes.shape == (1, 3, *small)
    shrunk = shrink(image, *small)
    for channel in range(3):
        np.testing.assert_array_equal(planes[0, channel], table[channel, shrunk[..., channel]])
