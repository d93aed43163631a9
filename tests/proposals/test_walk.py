"""The random walk, against a walk that is simulated step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.evidence import random_evidence
from tests.oracles import walk as oracle

from prm_proposals.evidence import Evidence
from prm_proposals.grouping import group_by_class, saddles
from prm_proposals.parts import connected_parts
from prm_proposals.random_walk import RandomWalk
from prm_proposals.regions import region_graph
from prm_proposals.settings import RetrievalSettings, WalkSettings
from prm_proposals.walk import WalkRetrieval, class_prior, mask_prior

SEPARATING = WalkSettings(peak_similarity=0.4, peak_distance=1.5)  # most peaks of a class stay apart


@pytest.mark.parametrize("seed", range(3))
def test_solving_equals_walking(seed: int):
    evidence = random_evidence(seed)
    settings = WalkSettings()
    prior = class_prior(evidence.class_maps, evidence.graph, settings)
    np.testing.assert_allclose(prior, oracle.priors(evidence.class_maps, evidence.graph, settings), atol=1e-5)
    walked = RandomWalk.on(evidence.graph, settings).spread(prior)
    for column in range(prior.shape[1]):
        expected = oracle.absorb(prior[:, column], evidence.graph, settings)
        np.testing.assert_allclose(walked[:, column], expected, atol=1e-7)
    np.testing.assert_allclose(walked.sum(axis=1), 1, atol=1e-7)


def with_mask_logits(evidence: Evidence, seed: int) -> Evidence:
    logits = np.random.default_rng(seed).normal(0, 2, (evidence.graph.count, 1 + len(evidence.class_maps)))
    return replace(evidence, mask_logits=logits.astype(np.float32))


@pytest.mark.parametrize("background", [0.0, 1.8])
def test_a_mask_heads_prior_is_a_softmax_over_what_is_present(background: float):
    evidence = with_mask_logits(random_evidence(0, classes=4), 0)
    settings = WalkSettings(background=background)
    for classes in ([0, 2], [3], [0, 1, 2, 3], []):
        present = np.array(classes, np.int64)
        found = mask_prior(evidence.mask_logits, present, settings)
        assert found.dtype == np.float64
        expected = oracle.mask_priors(evidence.mask_logits, classes, settings)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_mask_heads_prior_holds_out_against_huge_logits():
    logits = np.float32([[1e4, -1e4, 0], [-1e4, 1e4, 0]])
    found = mask_prior(logits, np.array([0]), WalkSettings())
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])


def test_a_picture_of_one_superpixel_keeps_its_prior():
    graph = region_graph(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32))
    prior = np.array([[0.3, 0.7]])
    np.testing.assert_allclose(RandomWalk.on(graph, WalkSettings()).spread(prior), prior)


@pytest.mark.parametrize("seed", range(5))
def test_saddles_are_the_highest_passes(seed: int):
    evidence = random_evidence(seed, classes=1)
    found = saddles(evidence.class_maps[0], evidence.peaks[:, 1:])
    for i, a in enumerate(evidence.peaks[:, 1:]):
        for j, b in enumerate(evidence.peaks[:, 1:]):
            assert found[i, j] == pytest.approx(oracle.saddle(evidence.class_maps[0], a, b))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settings", [WalkSettings(), SEPARATING], ids=["default", "separating"])
def test_groups_are_connected_components_of_joined_pairs(seed: int, settings: WalkSettings):
    evidence = random_evidence(seed, classes=1, peaks=8)
    rng = np.random.default_rng(seed)
    mass = rng.dirichlet(np.full(30, 0.2), len(evidence.peaks)).astype(np.float32)
    every = replace(settings, group_ratio=0.0)
    found, classes = group_by_class(evidence.class_maps, evidence.peaks, evidence.peak_scores, mass, every)
    expected = oracle.group(
        evidence.class_maps[0], evidence.peaks[:, 1:], evidence.peak_scores, mass, settings
    )
    assert found.tolist() == expected
    assert classes.tolist() == [0] * (1 + max(expected))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("walk", [WalkSettings(), SEPARATING], ids=["default", "separating"])
def test_instances_equal_the_recipe_step_by_step(seed: int, walk: WalkSettings):
    evidence = random_evidence(seed, peaks=7, classes=2)
    settings = RetrievalSettings(walk=walk)
    found = WalkRetrieval(settings)(evidence)
    expected = sorted(oracle.instances(evidence, settings), key=lambda instance: -instance[1])
    assert found.class_ids.tolist() == [instance[0] for instance in expected]
    np.testing.assert_allclose(found.scores, [instance[1] for instance in expected], rtol=1e-5)
    assert found.peak_indices.tolist() == [instance[2] for instance in expected]
    assert np.array_equal(found.members, np.array([instance[3] for instance in expected]))
    for n, instance in enumerate(expected):
        assert np.flatnonzero(found.owners == n).tolist() == instance[4]


@pytest.mark.parametrize("seed", range(3))
def test_with_a_mask_head_instances_equal_the_recipe_step_by_step(seed: int):
    evidence = with_mask_logits(random_evidence(seed, peaks=7, classes=2), seed)
    settings = RetrievalSettings(walk=replace(SEPARATING, background=0.5))
    found = WalkRetrieval(settings)(evidence)
    expected = sorted(oracle.instances(evidence, settings), key=lambda instance: -instance[1])
    assert found.peak_indices.tolist() == [instance[2] for instance in expected]
    assert np.array_equal(found.members, np.array([instance[3] for instance in expected]))
    by_maps = WalkRetrieval(settings)(replace(evidence, mask_logits=None))
    assert not np.array_equal(found.members.any(axis=0), by_maps.members.any(axis=0))


@pytest.mark.parametrize("least", [0.0, 0.001, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_connected_parts_are_what_flooding_finds(seed: int, least: float):
    rng = np.random.default_rng(seed)
    graph = random_evidence(seed).graph
    for share in (0.0, 0.3, 0.6, 1.0):
        regions = np.where(rng.random(graph.count) < share, rng.integers(0, 3, graph.count), -1)
        members, owners = connected_parts(regions, graph, least)
        expected = [(r, part) for r in range(3) for part in oracle.parts(regions == r, graph, least)]
        assert owners.tolist() == [r for r, _ in expected]
        assert np.array_equal(members, np.array([part for _, part in expected]).reshape(members.shape))


def test_the_separating_case_has_classes_of_several_instances():
    counts = [
        np.bincount(WalkRetrieval(RetrievalSettings(walk=SEPARATING))(random_evidence(seed, 7, 2)).class_ids)
        for seed in range(4)
    ]
    assert max(count.max() for count in counts) > 1


def test_instances_never_overlap_and_are_ordered():
    found = WalkRetrieval(RetrievalSettings(walk=SEPARATING))(random_evidence(7, peaks=12))
    assert found.members.sum(axis=0).max() == 1
    assert (np.diff(found.scores) <= 0).all()


def test_no_peaks_no_instances():
    evidence = random_evidence(0)
    evidence = replace(evidence, peaks=evidence.peaks[:0], peak_scores=evidence.peak_scores[:0])
    found = WalkRetrieval(RetrievalSettings())(replace(evidence, prms=evidence.prms[:0]))
    assert found.members.shape == (0, evidence.graph.count)


def test_a_peak_whose_prm_is_empty_does_no_harm():
    evidence = random_evidence(4, peaks=5, classes=1)
    prms = evidence.prms.copy()
    prms[0] = 0
    found = WalkRetrieval(RetrievalSettings(walk=SEPARATING))(replace(evidence, prms=prms))
    assert np.isfinite(found.scores).all()


def test_the_best_of_only_negative_peaks_founds_a_group():
    evidence = random_evidence(1)
    negative = replace(evidence, peak_scores=evidence.peak_scores - 100)
    owners = WalkRetrieval(RetrievalSettings(walk=SEPARATING))(negative).owners
    assert len(owners) == len(evidence.peaks)
