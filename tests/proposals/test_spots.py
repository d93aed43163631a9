"""Spots of a mask head, against a search over sets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.fixtures.evidence import random_graph
from tests.oracles import spots as oracle

from prm_proposals.regions import RegionGraph
from prm_proposals.settings import SpotSettings
from prm_proposals.spots import find_spots, log_posterior


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [(0.5,), (0.3, 0.95), (1.0,)])
def test_spots_equal_those_found_one_by_one(seed: int, levels: tuple[float, ...]) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    posterior = rng.choice(np.float32([1e-4, 0.1, 0.22, 0.41, 0.57, 0.9]), (7, graph.count))  # with ties
    present = rng.random(7) < 0.7
    found = find_spots(np.log(posterior), present, graph, SpotSettings(levels=levels, least=0.09))
    expected = oracle.find_spots(posterior.tolist(), present, graph.edges.tolist(), levels, 0.09)
    assert len(expected) > 5
    assert found.class_ids.tolist() == [c for c, _, _ in expected]
    assert found.seeds.tolist() == [k for _, k, _ in expected]
    assert [set(np.flatnonzero(region)) for region in found.regions] == [region for _, _, region in expected]
    areas = found.regions @ graph.sizes
    np.testing.assert_allclose(found.shares, areas / graph.labels.size, rtol=1e-5)
    sums = (found.regions * graph.sizes * np.log(posterior[found.class_ids])).sum(axis=1)
    np.testing.assert_allclose(found.log_means, sums / areas, rtol=1e-4)


def test_more_spots_than_there_was_room_for() -> None:
    posterior = np.zeros((150, 3), np.float32)  # one for each class, where nothing touches: three
    apart = _row(3, np.zeros((0, 2), np.int32))
    found = find_spots(posterior, np.ones(150, bool), apart, SpotSettings(levels=(0.5,)))
    assert found.seeds.tolist() == [0, 1, 2] * 150
    assert found.class_ids.tolist() == np.repeat(np.arange(150), 3).tolist()
    assert np.array_equal(found.regions, np.tile(np.eye(3, dtype=bool), (150, 1)))


def test_a_low_spot_counts_where_a_valley_parts_it_from_a_higher_one() -> None:
    shallow, deep = np.float32([[0.9, 0.3, 0.25, 0.3, 0.4]]), np.float32([[0.9, 0.3, 0.1, 0.3, 0.4]])
    settings, one = SpotSettings(levels=(0.5,)), np.ones(1, bool)
    row = _row(5, np.array([[0, 1], [1, 2], [2, 3], [3, 4]], np.int32))
    assert find_spots(np.log(shallow), one, row, settings).seeds.tolist() == [0]
    found = find_spots(np.log(deep), one, row, settings)
    assert found.seeds.tolist() == [0, 4]
    assert found.regions.tolist() == [[True, False, False, False, False], [False, False, False, True, True]]


def _row(count: int, edges: NDArray[np.int32]) -> RegionGraph:
    """Superpixels of one pixel side by side, connected by ``edges``."""
    ones = np.ones(len(edges), np.float32)
    labels = np.arange(count, dtype=np.int32)[None]
    return RegionGraph(
        labels, np.ones(count, np.float32), edges, ones, ones, np.zeros((count, 3), np.float32)
    )


@pytest.mark.parametrize("prior", [0.0, 0.7, 1.0])
def test_the_posterior_is_a_softmax_raised_by_presence(prior: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (11, 5)).astype(np.float32)
    strength = np.float32([-4, 0, 3, 9])
    found = log_posterior(logits, strength, 2.0, prior)
    np.testing.assert_allclose(
        found, oracle.log_posterior(logits.tolist(), strength.tolist(), 2.0, prior), atol=1e-5
    )


def test_extreme_logits_stay_finite() -> None:
    logits = np.float32([[500, -500, 0], [-500, 500, 0]])
    found = log_posterior(logits, np.float32([-1000, 1000]), 3.0, 1.0)
    assert np.isfinite(found).all()
    assert (found <= 0).all()
