"""Regions choose among proposals, against a choice one pair at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.evidence import random_evidence
from tests.oracles import refine as oracle
from tests.oracles import walk as walk_oracle

from prm_proposals.gallery import Gallery
from prm_proposals.refine import RefinedRetrieval, fit, peak_regions
from prm_proposals.retrieval import create_retrieval
from prm_proposals.settings import RefineSettings, RetrievalSettings, WalkSettings
from prm_proposals.walk import WalkRetrieval

TOGETHER = WalkSettings(peak_similarity=100.0, group_ratio=0.0)  # one group for each class
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
