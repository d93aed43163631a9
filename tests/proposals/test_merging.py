"""Merge trees and candidates, against merging by definition."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fixtures.evidence import random_graph
from tests.oracles import merging as oracle
from tests.oracles.candidates import candidates as candidates_by_definition

from prm_proposals.candidates import tree_candidates
from prm_proposals.merging import merge_tree
from prm_proposals.regions import region_graph
from prm_proposals.suppression import node_bits


def members(tree, leaves: int) -> list[frozenset[int]]:
    bits = np.unpackbits(node_bits(leaves, tree.children), axis=1, count=leaves, bitorder="little")
    return [frozenset(np.flatnonzero(row).tolist()) for row in bits]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("boundary", "power", "dimensions"), [(1.0, 0.5, 0), (0.2, 0.5, 5), (0.7, 0.0, 3)])
def test_tree_and_pairs_equal_merging_by_definition(seed, boundary, power, dimensions):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, seeds=14)
    cues = rng.normal(size=(graph.count, dimensions)).astype(np.float32)
    tree = merge_tree(graph, cues, boundary, power)
    sets = members(tree, graph.count)
    merges, pairs = oracle.merge(graph, cues, boundary, power)

    assert [frozenset(sets[n] for n in pair) for pair in tree.children] == [frozenset(m[:2]) for m in merges]
    merge_heights = tree.heights[tree.children[:, 0]]
    np.testing.assert_allclose(merge_heights, [m[2] for m in merges], rtol=1e-4)
    found = {frozenset((sets[i], sets[j])): d for (i, j), d in zip(tree.pairs, tree.distances, strict=True)}
    assert set(found) == set(pairs)
    for pair, distance in pairs.items():
        assert found[pair] == pytest.approx(distance, rel=1e-4)


def test_sizes_and_perimeters_are_those_of_the_nodes():
    graph = random_graph(np.random.default_rng(3), seeds=60)
    tree = merge_tree(graph, graph.lab, 1.0, 0.5)
    for node, region in enumerate(members(tree, graph.count)):
        index = sorted(region)
        assert tree.sizes[node] == graph.sizes[index].sum()
        crossing = np.isin(graph.edges, index).sum(axis=1) == 1
        assert tree.perimeters[node] == graph.border[crossing].sum()
    assert np.isinf(tree.heights[-1])
    assert np.isfinite(tree.heights[:-1]).all()


@pytest.mark.parametrize("seed", range(4))
def test_candidates_are_the_unions_of_up_to_three_nodes_by_definition(seed):
    graph = random_graph(np.random.default_rng(seed), seeds=40)
    tree = merge_tree(graph, graph.lab, 1.0, 0.5)
    expected = candidates_by_definition(tree, graph, members(tree, graph.count))
    found = tree_candidates(tree, 0, np.inf)
    assert {len(set(parts)) for parts in found.parts.tolist()} == {1, 2, 3}
    assert {frozenset(parts) for parts in found.parts.tolist()} == set(expected)
    areas, ranks = np.array([expected[frozenset(parts)] for parts in found.parts.tolist()]).T
    assert np.array_equal(found.areas, areas)
    np.testing.assert_allclose(found.ranks, ranks, atol=1e-5)


def test_candidates_keep_within_the_area_limits():
    graph = random_graph(np.random.default_rng(5), seeds=40)
    tree = merge_tree(graph, graph.lab, 1.0, 0.5)
    everything, some = tree_candidates(tree, 0, np.inf), tree_candidates(tree, 100, 1000)
    assert len(some.areas) == ((everything.areas >= 100) & (everything.areas <= 1000)).sum()
    assert 0 < len(some.areas) < len(everything.areas)


def test_triples_of_a_region_with_many_neighbours_are_bounded():
    count = 400  # a background with hundreds of spots: all unions of two spots would be 80,000 per merge
    labels = np.zeros((2, 2 * count), np.int32)
    labels[0, ::2] = np.arange(1, count + 1)
    image = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    graph = region_graph(image, labels)
    tree = merge_tree(graph, graph.lab, 1.0, 0.5)
    assert len(tree.pairs) > 50_000
    assert len(tree_candidates(tree, 0, np.inf).areas) < len(tree.pairs) + len(tree.sizes) * (
        1 + 12 * 11 // 2
    )


def test_a_single_superpixel_has_a_tree_without_candidates():
    graph = region_graph(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int32))
    tree = merge_tree(graph, graph.lab, 1.0, 0.5)
    assert len(tree.children) == 0
    assert len(tree_candidates(tree, 0, np.inf).areas) == 0


def test_disconnected_superpixels_are_never_joined():
    labels = np.zeros((4, 12), np.int32)
    labels[:, 6:] = 1
    graph = region_graph(np.zeros((4, 12, 3), np.uint8), labels)
    apart = type(graph)(
        labels,
        graph.sizes,
        np.zeros((0, 2), np.int32),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
        graph.lab,
    )
    assert len(merge_tree(apart, graph.lab, 1.0, 0.5).children) == 0
