"""Regions choose among proposals, against a choice one pair at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.evidence import random_evidence
from tests.oracles import refine as oracle
from tests.oracles import walk as walk_oracle

from prm_proposals.evidence import Evidence, positions
from prm_proposals.gallery import Gallery
from prm_proposals.maps import cell_centres
from prm_proposals.refine import RefinedRetrieval, fit, peak_regions
from prm_proposals.retrieval import create_retrieval
from prm_proposals.settings import RefineSettings, RetrievalSettings, SpotSettings, WalkSettings
from prm_proposals.walk import WalkRetrieval

TOGETHER = WalkSettings(peak_similarity=100.0, group_ratio=0.0)  # one group for each class
SPOTS = SpotSettings(levels=(0.5, 0.95), presence=-20.0, offset=-10.0)
APART = WalkSettings(peak_similarity=0.4, peak_distance=1.5)  # most peaks of a class stay apart


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("refine", [RefineSettings(), RefineSettings(0.5, 0.0, 1.0, 0.0, 0.5)])
@pytest.mark.parametrize("nms_iou", [0.2, 0.9])
def test_instances_equal_those_chosen_one_by_one(seed: int, refine: RefineSettings, nms_iou: float) -> None:
    evidence = random_evidence(seed, peaks=9, classes=2)
    settings = RetrievalSettings(walk=APART, refine=refine, nms_iou=nms_iou)
    found = create_retrieval(settings)(evidence)
    expected, owners = oracle.refine(WalkRetrieval(settings)(evidence), evidence, settings)
    assert found.class_ids.tolist() == [instance[0] for instance in expected]
    np.testing.assert_allclose(found.scores, [instance[1] for instance in expected], rtol=1e-5)
    assert found.peak_indices.tolist() == [instance[2] for instance in expected]
    assert np.array_equal(found.members, evidence.gallery.members[[instance[3] for instance in expected]])
    assert found.owners.tolist() == owners
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("least_score", [None, -110.0, -60.0])
def test_spots_join_in_as_chosen_one_by_one(seed: int, least_score: float | None) -> None:
    evidence = _with_mask_head(seed)
    refine = RefineSettings(least_score=least_score, chance=10.0)
    settings = RetrievalSettings(walk=APART, refine=refine, spots=SPOTS)
    found = create_retrieval(settings)(evidence)
    expected, owners = oracle.refine(WalkRetrieval(settings)(evidence), evidence, settings)
    assert found.class_ids.tolist() == [instance[0] for instance in expected]
    np.testing.assert_allclose(found.scores, [instance[1] for instance in expected], rtol=1e-4)
    assert found.peak_indices.tolist() == [-1 if peak is None else peak for _, _, peak, _ in expected]
    assert np.array_equal(found.members, evidence.gallery.members[[instance[3] for instance in expected]])
    assert found.owners.tolist() == owners


@pytest.mark.parametrize("seed", range(3))
def test_what_is_worked_out_before_there_are_prms_is_the_same(seed: int) -> None:
    evidence, settings = _with_mask_head(seed), RetrievalSettings(walk=APART, spots=SPOTS)
    retrieval = create_retrieval(settings)
    before = retrieval.prepare(replace(evidence, prms=np.zeros((0, 0, 0), np.float32)))
    assert before.groundwork is not None
    prepared = replace(before, prms=evidence.prms)
    expected = retrieval(evidence)
    for found in (retrieval(prepared), retrieval(retrieval.prepare(prepared))):
        assert np.array_equal(found.members, expected.members)
        assert np.array_equal(found.scores, expected.scores)
    # what was worked out by other settings is worth nothing
    others = create_retrieval(RetrievalSettings(walk=replace(APART, restart=0.5), spots=SpotSettings()))
    assert np.array_equal(others(prepared).scores, others(evidence).scores)
    assert np.array_equal(others(prepared).members, others(evidence).members)


def test_the_cases_above_have_spots_with_and_without_a_peak_and_let_some_go() -> None:
    settings = RetrievalSettings(walk=APART, spots=SPOTS)
    without, with_peak, counts = 0, 0, []
    for least in (None, -110.0, -60.0):
        settings = replace(settings, refine=RefineSettings(least_score=least, chance=10.0))
        found = [create_retrieval(settings)(_with_mask_head(seed)) for seed in range(5)]
        without += sum((each.peak_indices < 0).sum() for each in found)
        counts.append(sum(len(each.scores) for each in found))
        with_peak += sum(((each.seeds >= 0) & (each.peak_indices >= 0)).sum() for each in found)
    assert without > 0
    assert with_peak > 0
    assert counts == sorted(set(counts), reverse=True)


def test_without_a_live_peak_there_are_no_spots() -> None:
    evidence = _with_mask_head(0)
    none = replace(
        evidence, peaks=evidence.peaks[:0], peak_scores=evidence.peak_scores[:0], prms=evidence.prms[:0]
    )
    settings = RetrievalSettings(spots=SPOTS)
    regions = RefinedRetrieval(WalkRetrieval(settings), settings).regions(none)
    assert len(regions.scores) == len(regions.spots.seeds) == 0


def test_a_spot_is_found_where_it_is_highest_and_has_no_prm() -> None:
    evidence = _with_mask_head(1)
    settings = RetrievalSettings(walk=APART, spots=SPOTS)
    found = create_retrieval(settings)(evidence)
    assert found.seeds is not None
    alone = np.flatnonzero(found.peak_indices < 0)
    assert len(alone) > 0
    for merge in (False, True):
        total = found.instance_prms(evidence.prms, merge).sum(axis=(1, 2))
        np.testing.assert_allclose(total, found.peak_indices >= 0, atol=1e-5)
    at = positions(found, evidence, (96, 128))
    height, width = evidence.graph.labels.shape
    for n in range(len(found.scores)):
        if n in alone:
            rows, columns = (evidence.graph.labels == found.seeds[n]).nonzero()
            centre = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
            expected = centre * np.array([128 / width, 96 / height])
        else:
            cell = evidence.peaks[found.peak_indices[n], 1:]
            expected = cell_centres(cell[None], evidence.class_maps.shape[1:], (96, 128))[0]
        np.testing.assert_allclose(at[n], expected, rtol=1e-5)


def test_regions_on_cut_superpixels_choose_the_same_proposals() -> None:
    evidence = _with_mask_head(2)
    settings = RetrievalSettings(
        walk=APART, spots=SPOTS, refine=RefineSettings(least_score=-110.0, chance=10.0)
    )
    retrieval = RefinedRetrieval(WalkRetrieval(settings), settings)
    graph, gallery = evidence.graph, evidence.gallery
    regions = retrieval.regions(evidence)
    whole = retrieval.choose(regions, gallery, graph.sizes)
    side = np.arange(graph.labels.shape[1]) % 2  # each superpixel in its odd and even columns
    pairs, pieces = np.unique(2 * graph.labels + side, return_inverse=True)
    labels = pieces.reshape(graph.labels.shape).astype(np.int32)
    origin = pairs // 2
    sizes = np.bincount(labels.ravel()).astype(np.float32)
    cut = retrieval.choose(regions.on(origin), Gallery(labels, gallery.members[:, origin]), sizes)
    assert np.array_equal(cut.members, whole.members[:, origin])
    np.testing.assert_allclose(cut.scores, whole.scores, rtol=1e-4)


def _with_mask_head(seed: int) -> Evidence:
    evidence = random_evidence(seed, peaks=5, classes=3)
    logits = np.random.default_rng(seed).normal(0, 2, (evidence.graph.count, 4)).astype(np.float32)
    return replace(evidence, mask_logits=logits)


def test_the_cases_above_suppress_and_choose() -> None:
    counts = set()
    for nms_iou in (0.2, 0.9):
        settings = RetrievalSettings(walk=APART, nms_iou=nms_iou)
        counts.add(sum(len(create_retrieval(settings)(random_evidence(s, 9, 2)).scores) for s in range(5)))
    assert len(counts) == 2


def test_a_fit_is_one_for_the_region_itself_and_dice_for_tightness_one() -> None:
    sizes = np.array([10, 20, 30, 40], np.float32)
    region = np.array([[1, 1, 0, 0]], np.float32)
    members = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], bool)
    proposals = Gallery(np.arange(4, dtype=np.int32)[None], members)
    assert fit(region, proposals, sizes, 1.0)[0].tolist() == pytest.approx([1, 20 / 40, 60 / 90, 0])
    tight = fit(region, proposals, sizes, 3.0)[0]
    assert tight[0] == pytest.approx(1)
    assert tight[1] > 0.5  # a part, missed as much as
    assert tight[2] < 60 / 90  # a whole that spills over


def test_without_proposals_the_regions_stay() -> None:
    evidence = random_evidence(2)
    none = replace(evidence, gallery=Gallery(evidence.graph.labels, evidence.gallery.members[:0]))
    settings = RetrievalSettings()
    walked, found = WalkRetrieval(settings)(none), RefinedRetrieval(WalkRetrieval(settings), settings)(none)
    assert len(found.scores) > 0
    assert np.array_equal(found.members, walked.members)
    assert np.array_equal(found.scores, walked.scores)


def test_no_peaks_no_instances() -> None:
    evidence = random_evidence(0)
    evidence = replace(evidence, peaks=evidence.peaks[:0], peak_scores=evidence.peak_scores[:0])
    found = create_retrieval(RetrievalSettings())(replace(evidence, prms=evidence.prms[:0]))
    assert found.members.shape == (0, evidence.graph.count)


def test_a_region_that_is_a_proposal_keeps_its_score_but_for_its_area() -> None:
    evidence = random_evidence(1)
    settings = RetrievalSettings(refine=RefineSettings(rank=0.0, area=0.0))
    walked = WalkRetrieval(settings)(evidence)
    exact = replace(evidence, gallery=Gallery(evidence.graph.labels, walked.members))
    found = create_retrieval(settings)(exact)
    count = len(walked.scores)  # what single peaks retrieve comes behind
    np.testing.assert_allclose(found.scores[:count], walked.scores)
    assert np.array_equal(found.members[:count], walked.members)


def test_what_a_peak_retrieves_alone_comes_behind_the_regions() -> None:
    evidence = random_evidence(3, peaks=9, classes=1)
    settings = RetrievalSettings(walk=TOGETHER, nms_iou=1.0)
    regions = len(WalkRetrieval(settings)(evidence).scores)
    near, far = (
        create_retrieval(replace(settings, refine=RefineSettings(single_peak=penalty)))(evidence)
        for penalty in (0.0, 1000.0)
    )
    assert len(near.scores) == len(far.scores) == regions + len(evidence.peaks)
    assert sorted(far.peak_indices[regions:]) == list(range(len(evidence.peaks)))
    np.testing.assert_allclose(
        np.sort(far.scores[regions:]), np.sort(near.scores)[: len(evidence.peaks)] - 1000, rtol=1e-3
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_peaks_region_is_the_mean_of_belief_and_prm(seed: int) -> None:
    evidence = random_evidence(seed, peaks=5, classes=2)
    settings = RetrievalSettings()
    walked = WalkRetrieval(settings).walk(evidence)
    found = peak_regions(walked.belief, walked.mass, evidence.graph.sizes)
    expected = [walk_oracle.peak_region(evidence, settings, peak) for peak in range(len(evidence.peaks))]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_prm_without_mass_retrieves_nothing_alone() -> None:
    evidence = random_evidence(3, peaks=4, classes=1)
    prms = evidence.prms.copy()
    prms[1] = 0
    settings = RetrievalSettings(walk=TOGETHER, nms_iou=1.0)
    found = create_retrieval(settings)(replace(evidence, prms=prms))
    regions = WalkRetrieval(settings)(replace(evidence, prms=prms))
    assert len(found.scores) == len(regions.scores) + 3
