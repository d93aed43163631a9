"""Eq. 6 for all peaks and proposals at once, against dense masks one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.fixtures.evidence import random_evidence
from tests.oracles import eq6 as oracle
from tests.oracles import suppression as nms_oracle

from prm_proposals.contour import contour_groups
from prm_proposals.eq6 import Eq6Retrieval, eq6_scores
from prm_proposals.gallery import Gallery
from prm_proposals.maps import resample_mass
from prm_proposals.settings import Eq6Settings, RetrievalSettings

TOLERANCE = 2e-6  # scores are sums of shares of 1 in float32


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "free", [(1.0, 1.0, 1.0, 5), (0.7, 2.5, 0.8, 3), (0.0, 0.0, 1.0, 7), (1.0, 1.0, 1.0, 5, 0.0)]
)
def test_scores_equal_those_of_dense_masks(seed: int, free: tuple[float, ...]):
    evidence = random_evidence(seed)
    expected = oracle.scores(evidence, *free)
    np.testing.assert_allclose(eq6_scores(evidence, Eq6Settings(*free)), expected, rtol=0, atol=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    labels=arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)),
    width=st.sampled_from([3, 5]),
    seed=st.integers(0, 2**16),
)
def test_contours_equal_the_morphological_gradient_pixel_by_pixel(labels, width, seed):
    members = np.random.default_rng(seed).random((9, 6)) < 0.5
    groups = contour_groups(labels, width)
    crossed = groups.crossed(members) > 0
    for n, mask in enumerate(members[:, labels]):
        found = np.zeros(labels.shape, bool)
        near = groups.group >= 0
        found[near] = crossed[groups.group[near], n]
        assert np.array_equal(found, oracle.contour(mask, width))


@pytest.mark.parametrize("width", [1, 4, -3])
def test_a_contour_has_an_odd_width(width: int):
    with pytest.raises(ValueError, match="odd and at least 3"):
        contour_groups(np.zeros((4, 4), np.int32), width)


@pytest.mark.parametrize("shape", [(48, 64), (24, 32), (10, 13), (33, 90)])
def test_resampling_keeps_mass_and_place(shape: tuple[int, int]):
    prms = random_evidence(1).prms
    result = resample_mass(prms, shape)
    np.testing.assert_allclose(result.sum(axis=(1, 2)), 1, rtol=1e-5)
    for before, after in zip(prms, result, strict=True):
        for axis in (0, 1):
            assert centre(after, axis) == pytest.approx(centre(before, axis), abs=0.02)
    assert not resample_mass(np.zeros((1, 24, 32), np.float32), shape).any()


def centre(mass, axis: int) -> float:
    profile = mass.sum(axis=1 - axis)
    return float((profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum() / len(profile))


@pytest.mark.parametrize("seed", range(4))
def test_retrieval_is_algorithm_1(seed: int):
    evidence = random_evidence(seed, peaks=9, classes=2)
    free = RetrievalSettings(method="eq6", nms_iou=0.4)
    found = Eq6Retrieval(free)(evidence)
    best = oracle.scores(evidence, 1.0, 1.0, 1.0, 5).argmax(axis=1)
    raw = raw_scores(evidence)
    kept, winner = nms_oracle.mask_nms(
        evidence.gallery.masks(best), raw, evidence.peaks[:, 0].tolist(), free.nms_iou
    )
    assert found.peak_indices.tolist() == kept
    assert found.owners.tolist() == winner
    assert np.array_equal(found.members, evidence.gallery.members[best[kept]])
    assert found.class_ids.tolist() == evidence.peaks[kept, 0].tolist()
    np.testing.assert_allclose(found.scores, np.array(raw)[kept], rtol=1e-5)
    assert (np.diff(found.scores) <= 0).all()


def raw_scores(evidence) -> list[float]:
    scores = []
    for (c, _, _), response in zip(evidence.peaks, evidence.peak_scores, strict=True):
        best = evidence.peak_scores[evidence.peaks[:, 0] == c].max()
        scores.append(float(evidence.class_maps[c].max() + evidence.class_scores[c] - best + response))
    return scores


def test_merged_prms_are_sums_of_what_an_instance_owns():
    evidence = random_evidence(2, peaks=8, classes=1)
    found = Eq6Retrieval(RetrievalSettings(method="eq6", nms_iou=0.0))(evidence)
    merged = found.instance_prms(evidence.prms, merge=True)
    for n, prm in enumerate(merged):
        total = evidence.prms[found.owners == n].sum(axis=0)
        np.testing.assert_allclose(prm, total / total.sum(), rtol=1e-4, atol=1e-9)
    single = found.instance_prms(evidence.prms, merge=False)
    assert np.array_equal(single, evidence.prms[found.peak_indices])


@pytest.mark.parametrize("empty", ["peaks", "proposals"])
def test_nothing_to_retrieve(empty: str):
    evidence = random_evidence(0)
    if empty == "peaks":
        evidence = replace(
            evidence, peaks=evidence.peaks[:0], peak_scores=evidence.peak_scores[:0], prms=evidence.prms[:0]
        )
    else:
        none = evidence.gallery.members[:0]
        evidence = replace(evidence, gallery=Gallery(evidence.graph.labels, none))
    found = Eq6Retrieval(RetrievalSettings(method="eq6"))(evidence)
    assert found.members.shape == (0, evidence.graph.count)
    assert found.owners.tolist() == [-1] * len(evidence.peaks)
