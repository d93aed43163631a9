"""Proposals fitted to other superpixels, against every union of them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.oracles.fitting import best_union

from prm_proposals.gallery import Gallery


def blocks(size: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Superpixels of a grid of ``cells``, int32 [h, w]."""
    rows, columns = (np.arange(side) * count // side for side, count in zip(size, cells, strict=True))
    return (rows[:, None] * cells[1] + columns).astype(np.int32)


@pytest.mark.parametrize("seed", range(8))
def test_each_proposal_becomes_the_union_with_the_fewest_wrong_pixels(seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(9).astype(np.int32)[blocks((10, 13), (3, 3))]
    masks = rng.random((6, 10, 13)) < 0.5
    expected = [union for union in (best_union(mask, labels) for mask in masks) if any(union)]
    fitted = Gallery.from_masks(masks).fit(labels)
    assert fitted.labels is labels
    assert [tuple(row) for row in fitted.members.tolist()] == expected


def test_half_a_superpixel_is_not_enough_and_what_covers_none_is_left_out():
    labels = blocks((4, 8), (1, 2))
    masks = np.zeros((3, 4, 8), bool)
    masks[0, :, :2] = True  # half of the left superpixel
    masks[1, :, :2] = masks[1, 0, 2] = True  # a pixel more
    masks[2, :, 1:5] = True  # most of the left one, a quarter of the right one
    fitted = Gallery.from_masks(masks).fit(labels)
    assert fitted.members.tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize("scale", [(3, 3), (2, 5)])
def test_the_grids_need_not_be_equally_fine(scale: tuple[int, int]):
    rng = np.random.default_rng(0)
    coarse = rng.permutation(12).astype(np.int32)[blocks((9, 16), (3, 4))]
    fine = np.kron(coarse, np.ones(scale, np.int32))
    members = rng.random((7, 12)) < 0.5
    assert np.array_equal(Gallery(coarse, members).fit(fine).members, members)
    assert np.array_equal(Gallery(fine, members).fit(coarse).members, members)
    assert np.array_equal(Gallery(fine, members).fit(coarse).masks(), Gallery(coarse, members).masks())


def test_a_gallery_finer_one_way_and_coarser_the_other():
    members = np.array([[True, False], [False, True]])
    tall = Gallery(blocks((40, 4), (2, 1)), members)
    assert np.array_equal(tall.fit(blocks((6, 30), (2, 1))).members, members)


def test_superpixels_without_pixels_belong_to_no_proposal():
    labels = np.array([[0, 2]], np.int32)  # 1 is missing
    fitted = Gallery.from_masks(np.ones((1, 4, 8), bool)).fit(labels)
    assert fitted.members.tolist() == [[True, False, True]]


def test_an_empty_gallery_stays_empty():
    fitted = Gallery.from_masks(np.zeros((0, 5, 7), bool)).fit(blocks((6, 6), (2, 2)))
    assert fitted.members.shape == (0, 4)
