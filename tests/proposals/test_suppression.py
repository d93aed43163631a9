"""Suppression on bit sets and mask NMS, against dense masks."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fixtures.evidence import random_graph
from tests.oracles import suppression as oracle

from prm_proposals.merging import merge_tree
from prm_proposals.nms import mask_nms
from prm_proposals.suppression import node_bits, suppress


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("limit", "most"), [(0.9, 1000), (0.6, 1000), (0.9, 25)])
def test_kept_candidates_equal_those_of_dense_masks(seed: int, limit: float, most: int):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, size=(24, 32), seeds=30)
    tree = merge_tree(graph, graph.lab, 1.0, 0.5)
    parts = rng.integers(0, len(tree.sizes), (300, 3)).astype(np.int32)
    bits = node_bits(graph.count, tree.children)
    dense = np.unpackbits(bits, axis=1, count=graph.count, bitorder="little").astype(bool)
    unions = dense[parts].any(axis=1)
    masks, areas = unions[:, graph.labels], (unions @ graph.sizes).astype(np.float32)
    kept, members = suppress(bits, parts, areas, graph.sizes, limit, most)

    assert kept.tolist() == oracle.suppress(masks, limit, most)
    assert np.array_equal(members[:, graph.labels], masks[kept])


def test_nothing_to_suppress():
    kept, members = suppress(
        np.zeros((0, 1), np.uint8),
        np.zeros((0, 2), np.int32),
        np.zeros(0, np.float32),
        np.ones(3, np.float32),
        0.9,
        5,
    )
    assert kept.shape == (0,)
    assert members.shape == (0, 3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [0.0, 0.3, 0.5])
def test_nms_equals_the_loop_of_algorithm_1(seed: int, limit: float):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    members = rng.random((15, graph.count)) < rng.uniform(0.1, 0.9, (15, 1))
    scores = rng.integers(0, 8, 15).astype(np.float32)  # with ties
    classes = rng.integers(0, 3, 15)
    kept, winner = mask_nms(members, scores, classes, graph.sizes, limit)
    expected = oracle.mask_nms(members[:, graph.labels], scores, classes, limit)
    assert (kept.tolist(), winner.tolist()) == expected


def test_nms_of_nothing():
    kept, winner = mask_nms(
        np.zeros((0, 4), bool), np.zeros(0, np.float32), np.zeros(0, np.int64), np.ones(4, np.float32), 0.5
    )
    assert len(kept) == len(winner) == 0
