from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles import preprocess as oracle

from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import input_size, preprocess, resize

SETTINGS = Preprocessing(size=448, multiple=32, mean=(127, 127, 127), std=(128, 128, 128))


@pytest.mark.parametrize(
    ("frame", "expected"),
    [((375, 500), (352, 448)), ((500, 375), (448, 352)), ((1080, 1920), (256, 448)), ((5, 500), (32, 448))],
)
def test_input_size(frame: tuple[int, int], expected: tuple[int, int]) -> None:
    assert input_size(*frame, SETTINGS) == expected


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_input_size_is_close_to_the_aspect(height: int, width: int) -> None:
    scale = 448 / max(height, width)
    for side, result in zip((height, width), input_size(height, width, SETTINGS), strict=True):
        assert result % 32 == 0
        assert abs(result - side * scale) <= 16 or result == 32


def test_values_and_layout() -> None:
    frame = np.full((100, 200, 3), (255, 127, 0), np.uint8)
    image = preprocess(frame, SETTINGS)
    assert image.shape == (1, 3, 224, 448)
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image[0, :, 5, 5], [1, 0, -127 / 128], atol=1e-6)


@pytest.mark.parametrize("size", [(448, 448), (272, 640), (900, 300), (60, 80)])
def test_frames_equal_those_of_opencv_and_numpy(size: tuple[int, int]) -> None:
    settings = SETTINGS.model_copy(update={"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)})
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = preprocess(frame, settings)
    shape = input_size(*size, settings)
    resized = resize(frame, *shape)
    assert np.array_equal(found, oracle.normalise(resized, settings.mean, settings.std))
    if shape[0] < size[0]:
        apart = np.abs(resized.astype(int) - oracle.shrink(frame, *shape))
        assert apart.max() <= 1
