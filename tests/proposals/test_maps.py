"""Maps on other grids, moved or not, and where their cells lie."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.fixtures.evidence import random_evidence

from prm_proposals.eq6 import eq6_scores
from prm_proposals.maps import cell_centres, upsample
from prm_proposals.settings import Eq6Settings, WalkSettings
from prm_proposals.walk import class_prior

ONE_CELL = 1.0


def interpolated(map_: NDArray[np.float32], shape: tuple[int, int], shift: float) -> NDArray[np.float64]:
    """Bilinear interpolation pixel by pixel, border repeated; exact for shifts of whole pixels."""
    rows, columns = map_.shape
    out = np.empty(shape)
    for y, x in np.ndindex(shape):
        v = np.clip((y + 0.5) * rows / shape[0] - 0.5 - shift, 0, rows - 1)
        u = np.clip((x + 0.5) * columns / shape[1] - 0.5 - shift, 0, columns - 1)
        i, j = int(v), int(u)
        low, right = min(i + 1, rows - 1), min(j + 1, columns - 1)
        above = map_[i, j] * (1 - (u - j)) + map_[i, right] * (u - j)
        below = map_[low, j] * (1 - (u - j)) + map_[low, right] * (u - j)
        out[y, x] = above * (1 - (v - i)) + below * (v - i)
    return out


@pytest.mark.parametrize("shift", [0.0, 0.25, -0.5, 1.0])
def test_upsampling_is_bilinear_interpolation(shift: float) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    result = upsample(maps, (32, 40), shift)
    assert result.dtype == np.float32
    for source, out in zip(maps, result, strict=True):
        np.testing.assert_allclose(out, interpolated(source, (32, 40), shift), atol=1e-5)


@given(
    st.tuples(st.integers(0, 3), st.integers(0, 5)), st.sampled_from([-0.375, -0.25, 0.0, 0.125, 0.25, 0.375])
)
def test_a_map_is_highest_where_its_strongest_cell_is_said_to_be(cell: tuple[int, int], shift: float) -> None:
    maps = np.zeros((1, 4, 6), np.float32)
    maps[0][cell] = 1
    grown = upsample(maps, (120, 240), shift)[0]
    ((x, y),) = cell_centres(np.array([cell]), (4, 6), (120, 240), shift)
    assert grown[int(y - 0.5), int(x - 0.5)] > 0.95 * grown.max()


def test_centres_stay_inside_the_frame() -> None:
    cells = np.array([[0, 0], [1, 3]])
    assert cell_centres(cells, (2, 4), (100, 200)).tolist() == [[25, 25], [175, 75]]
    assert cell_centres(cells, (2, 4), (100, 200), -1.0).tolist() == [[0, 0], [125, 25]]
    assert cell_centres(cells, (2, 4), (100, 200), 1.0).tolist() == [[75, 75], [200, 100]]


def test_both_retrievals_see_maps_where_they_are_moved_to() -> None:
    evidence = random_evidence(3)
    maps = evidence.class_maps[:, :6, :8].copy()  # one cell is 8 pixels of the grid
    maps[:, -2:] = maps[:, :, -2:] = 0  # nothing is lost by leaving the frame
    evidence = replace(evidence, class_maps=maps)
    moved = np.stack([cv2.copyMakeBorder(m[:-1, :-1], 1, 0, 1, 0, cv2.BORDER_REPLICATE) for m in maps])
    prior = class_prior(evidence.class_maps, evidence.graph, WalkSettings(), ONE_CELL)
    np.testing.assert_allclose(prior, class_prior(moved, evidence.graph, WalkSettings()), atol=1e-6)
    settings = Eq6Settings(beta=5.0)
    scores = eq6_scores(evidence, settings, ONE_CELL)
    np.testing.assert_allclose(scores, eq6_scores(replace(evidence, class_maps=moved), settings), atol=1e-5)
    assert np.abs(prior - class_prior(evidence.class_maps, evidence.graph, WalkSettings())).max() > 0.1
    assert np.abs(scores - eq6_scores(evidence, settings)).max() > 0.1
