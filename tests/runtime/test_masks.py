"""Masks of a frame, against whole masks enlarged by OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fixtures.evidence import random_graph
from tests.oracles import frame_masks as oracle

from prm_proposals.pooling import Pooling
from prm_runtime.masks import frame_masks, masks_and_boxes

ROUNDING = 1e-5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(48, 64), (200, 333), (31, 40), (24, 32), (96, 500), (1, 7), (300, 1)])
def test_masks_are_those_of_whole_masks_enlarged(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, seeds=30)
    members = rng.random((6, graph.count)) < np.array([0, 0.04, 0.1, 0.3, 0.8, 1])[:, None]
    masks, boxes = masks_and_boxes(members, graph.pooling, size)
    expected = oracle.inside(members, graph.labels, size)
    clear = np.abs(expected - 0.5) > ROUNDING
    assert clear.mean() > 0.8
    assert np.array_equal(masks[clear], expected[clear] > 0.5)
    assert masks[~clear].all()  # one half is inside
    assert boxes.tolist() == oracle.boxes(masks).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1)])
def test_a_grid_of_one_row_or_column(shape: tuple[int, int]) -> None:
    labels = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    members = np.arange(labels.size)[None] == 0
    masks = frame_masks(members, labels, (30, 40))
    expected = oracle.inside(members, labels, (30, 40))
    clear = np.abs(expected - 0.5) > ROUNDING
    assert np.array_equal(masks[clear], expected[clear] > 0.5)


def test_memory_that_is_given_may_be_dirty_and_larger() -> None:
    rng = np.random.default_rng(0)
    graph = random_graph(rng)
    members = rng.random((2, graph.count)) < 0.3
    room = np.ones((4, 60, 90), bool)
    masks, _ = masks_and_boxes(members, graph.pooling, (60, 90), room)
    assert masks.base is room
    assert np.array_equal(masks, frame_masks(members, graph.labels, (60, 90)))
    assert room[2:].all()


def test_superpixels_that_no_pixel_has_are_nowhere() -> None:
    labels = np.zeros((4, 4), np.int32)
    members = np.array([[False, True], [True, True]])
    masks, boxes = masks_and_boxes(members, Pooling(labels, 2), (8, 8))
    assert not masks[0].any()
    assert masks[1].all()
    assert boxes.tolist() == [[0, 0, 0, 0], [0, 0, 8, 8]]
