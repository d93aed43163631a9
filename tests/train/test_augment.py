"""From pictures to squares: geometry, colours and randomness."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prm_train.augment import augment, letterbox, resize_long_side

FILL = (127.4, 10.0, 250.6)
ROUNDED = (127, 10, 251)
SETTINGS = {"size": 64, "scale": (0.7, 1.15), "jitter": 0.3, "fill": FILL}


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((40, 80), (16, 48), (0, 64)),
        ((80, 40), (0, 64), (16, 48)),
        ((64, 64), (0, 64), (0, 64)),
        ((10, 20), (16, 48), (0, 64)),
        ((64, 33), (0, 64), (16, 49)),  # an odd surplus: one more on the right
        ((1, 500), (32, 33), (0, 64)),
    ],
)
def test_letterboxed_pictures_lie_in_the_middle_of_the_fill(
    shape: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    square = letterbox(np.full((*shape, 3), 77, np.uint8), size=64, fill=FILL)
    assert square.shape == (64, 64, 3)
    assert square.dtype == np.uint8
    expected = np.empty_like(square)
    expected[:] = ROUNDED
    expected[slice(*rows), slice(*columns)] = 77
    assert np.array_equal(square, expected)


def test_a_square_of_the_right_size_is_letterboxed_to_itself() -> None:
    assert np.array_equal(letterbox(noise(64, 64), size=64, fill=FILL), noise(64, 64))


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 80), (16, 32)), ((300, 7), (32, 1)), ((3, 2), (32, 21))]
)
def test_resizing_keeps_the_aspect(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resize_long_side(noise(*shape), 32).shape == (*expected, 3)


def test_shrinking_averages_and_does_not_skip_pixels() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.array_equal(np.unique(resize_long_side(stripes, 32)), [100])


@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (64, 64), (1, 300), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_augmented_pictures_are_squares_that_only_the_generator_decides(
    shape: tuple[int, int], seed: int
) -> None:
    first, again = (augment(noise(*shape), np.random.default_rng(seed), **SETTINGS) for _ in range(2))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert np.array_equal(first, again)
    if shape != (1, 1):
        assert not np.array_equal(first, augment(noise(*shape), np.random.default_rng(seed + 1), **SETTINGS))


def test_without_scale_and_jitter_a_picture_is_itself_or_its_mirror_image() -> None:
    image = noise(64, 64)
    still = SETTINGS | {"scale": (1, 1), "jitter": 0}
    results = [augment(image, np.random.default_rng(seed), **still) for seed in range(40)]
    mirrored = [np.array_equal(result, image[:, ::-1]) for result in results]
    assert all(np.array_equal(r, image) for r, flag in zip(results, mirrored, strict=True) if not flag)
    assert 10 < sum(mirrored) < 30


def test_scaled_pictures_are_padded_with_the_fill_or_cropped() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    for scale, pixels in ((0.5, 32 * 32), (1.5, 64 * 64)):
        settings = SETTINGS | {"scale": (scale, scale), "jitter": 0}
        places = set()
        for seed in range(8):
            result = augment(white, np.random.default_rng(seed), **settings)
            inside = (result == 255).all(axis=-1)
            assert inside.sum() == pixels
            assert (result[~inside] == ROUNDED).all()
            places.add(tuple(np.argwhere(inside)[0]))
        assert len(places) > 4 or pixels == 64 * 64


def test_jitter_changes_brightness_contrast_and_saturation_within_bounds() -> None:
    settings = SETTINGS | {"scale": (1, 1), "jitter": 0.2}
    grey = np.full((64, 64, 3), 100, np.uint8)  # neither contrast nor saturation show on it
    shades = {tuple(np.unique(augment(grey, np.random.default_rng(seed), **settings))) for seed in range(30)}
    assert all(len(shade) == 1 and 79 <= shade[0] <= 121 for shade in shades)
    assert len(shades) > 10
    image = noise(64, 64)
    spreads = [augment(image, np.random.default_rng(seed), **settings).std() for seed in range(20)]
    assert max(spreads) > image.std() > min(spreads)
