"""From pictures to the network's input: geometry, colours and randomness."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import input_size
from prm_train.augment import augment, fit

PREPROCESSING = Preprocessing(size=64, multiple=16, mean=(0, 0, 0), std=(1, 1, 1))
SETTINGS = {"preprocessing": PREPROCESSING, "least_crop": 0.8, "jitter": 0.3}


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (64, 64), (10, 20), (1, 500), (300, 7)])
def test_a_picture_of_any_aspect_fills_the_size_it_has_at_run_time(shape: tuple[int, int]) -> None:
    picture = fit(np.full((*shape, 3), 77, np.uint8), preprocessing=PREPROCESSING)
    assert picture.shape == (*input_size(*shape, PREPROCESSING), 3)
    assert picture.dtype == np.uint8
    assert (picture == 77).all()


def test_fitting_keeps_relative_positions() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:20, 20:60] = 255
    inside = fit(image, preprocessing=PREPROCESSING)[..., 0] > 127
    assert inside.shape == (32, 64)
    assert np.argwhere(inside).min(axis=0).tolist() == [8, 16]
    assert np.argwhere(inside).max(axis=0).tolist() == [15, 47]


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    assert np.array_equal(fit(noise(64, 64), preprocessing=PREPROCESSING), noise(64, 64))


@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (64, 64), (1, 300), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_augmented_pictures_have_the_size_of_fitted_ones_and_only_the_generator_decides(
    shape: tuple[int, int], seed: int
) -> None:
    first, again = (augment(noise(*shape), np.random.default_rng(seed), **SETTINGS) for _ in range(2))
    assert first.shape == fit(noise(*shape), preprocessing=PREPROCESSING).shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert np.array_equal(first, again)
    if max(shape) > 1:
        assert not np.array_equal(first, augment(noise(*shape), np.random.default_rng(seed + 1), **SETTINGS))


def test_without_crop_and_jitter_a_picture_is_itself_or_its_mirror_image() -> None:
    image = noise(64, 64)
    still = SETTINGS | {"least_crop": 1, "jitter": 0}
    results = [augment(image, np.random.default_rng(seed), **still) for seed in range(40)]
    mirrored = [np.array_equal(result, image[:, ::-1]) for result in results]
    assert all(np.array_equal(r, image) for r, flag in zip(results, mirrored, strict=True) if not flag)
    assert 10 < sum(mirrored) < 30


def test_crops_keep_their_share_of_both_sides_and_lie_anywhere() -> None:
    rows = np.arange(0, 256, 4, dtype=np.uint8)
    image = np.stack(np.broadcast_arrays(rows[:, None], rows[None, :], 0), axis=-1).astype(np.uint8)
    shares, corners = [], set()
    for seed in range(60):
        result = augment(image, np.random.default_rng(seed), **(SETTINGS | {"least_crop": 0.5, "jitter": 0}))
        low, high = result.min(axis=(0, 1))[:2].astype(int), result.max(axis=(0, 1))[:2].astype(int)
        shares.append((high - low) / 252)
        corners.add(tuple(low))
    assert np.min(shares) > 0.45
    assert np.max(shares) > 0.9
    np.testing.assert_allclose(np.diff(shares), 0, atol=0.05)  # the same of both sides
    assert len(corners) > 30


def test_jitter_changes_brightness_contrast_and_saturation_within_bounds() -> None:
    settings = SETTINGS | {"least_crop": 1, "jitter": 0.2}
    grey = np.full((64, 64, 3), 100, np.uint8)  # neither contrast nor saturation show on it
    shades = {tuple(np.unique(augment(grey, np.random.default_rng(seed), **settings))) for seed in range(30)}
    assert all(len(shade) == 1 and 79 <= shade[0] <= 121 for shade in shades)
    assert len(shades) > 10
    image = noise(64, 64)
    spreads = [augment(image, np.random.default_rng(seed), **settings).std() for seed in range(20)]
    assert max(spreads) > image.std() > min(spreads)
