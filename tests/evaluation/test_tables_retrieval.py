"""Masks from boxes, galleries with ground truth and ablated Eq. 6, against dense masks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.evidence import random_evidence
from tests.oracles import eq6 as eq6_oracle

from prm_evaluation.tables.ablation import ablations
from prm_evaluation.tables.boxes import class_map_boxes, ellipses, nearest_proposals, rectangles, truth_boxes
from prm_evaluation.tables.galleries import (
    BOTH,
    REGIONS,
    TRUTH,
    GalleryTally,
    contour_width_on,
    galleries_with_truth,
)
from prm_evaluation.tables.picture import MeasuredPicture, Truth, retrieve
from prm_proposals.eq6 import eq6_terms, top_proposals
from prm_proposals.gallery import Gallery
from prm_proposals.retrieval import create_retrieval
from prm_proposals.settings import Eq6Settings, RetrievalSettings

NO_BOXES = (np.zeros((0, 4), np.int64), np.zeros(0, np.int64))


def truth_of(masks, class_ids) -> Truth:
    class_mask = np.zeros(masks.shape[1:], np.uint8)
    return Truth(masks, np.array(class_ids, np.int64), class_mask, *NO_BOXES)


def retrieved_by_both(frame, truth, evidence, settings) -> MeasuredPicture:
    found = {
        method: retrieve(evidence, replace(settings, method=method), truth.size) for method in ("eq6", "walk")
    }
    return MeasuredPicture(frame, truth, evidence, settings, found)


def two_blobs(size=(96, 128)):
    """A disc in front of a square, bool [2, H, W]."""
    y, x = np.mgrid[: size[0], : size[1]]
    disc = (y - 40) ** 2 + (x - 45) ** 2 < 25**2
    square = (abs(y - 60) < 20) & (abs(x - 80) < 30) & ~disc
    return np.stack([disc, square])


def test_rectangles_fill_the_box():
    masks = rectangles(np.array([[1, 2, 4, 3]]), (4, 5))
    assert masks.astype(int).tolist() == [[[0] * 5, [0] * 5, [0, 1, 1, 1, 0], [0] * 5]]


@pytest.mark.parametrize(("width", "height"), [(40, 40), (60, 24), (7, 31)])
def test_ellipses_touch_all_sides_and_fill_pi_quarters(width, height):
    ellipse = ellipses(np.array([[5, 3, 5 + width, 3 + height]]), (50, 90))[0]
    rows, columns = np.flatnonzero(ellipse.any(axis=1)), np.flatnonzero(ellipse.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (5, 3, 5 + width, 3 + height)
    assert ellipse.sum() == pytest.approx(math.pi / 4 * width * height, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_nearest_proposals_equal_the_dense_search(seed):
    gallery = random_evidence(seed).gallery
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, 48, (8, 2, 2)), axis=1).reshape(8, 4) + np.array([0, 0, 1, 1])
    masks = rectangles(corners, gallery.labels.shape)
    found = nearest_proposals(masks, gallery)
    for mask, members in zip(masks, found, strict=True):
        ious = [(mask & each).sum() / (mask | each).sum() for each in gallery.masks()]
        assert (members == gallery.members[int(np.argmax(ious))]).all()


def test_nearest_proposals_work_on_a_coarser_grid_than_the_masks():
    parts = np.zeros((2, 10, 12), bool)
    parts[0, :5] = True
    parts[1, 5:, :4] = True
    thin = np.zeros((1, 100, 120), bool)
    thin[0, 60:90, 1:3] = True  # a fifth of a grid pixel
    assert (
        nearest_proposals(thin, Gallery.from_masks(parts))[0] == Gallery.from_masks(parts).members[1]
    ).all()


def test_without_proposals_nothing_is_near():
    assert not nearest_proposals(np.ones((2, 4, 4), bool), Gallery.from_masks(np.zeros((0, 4, 4)))).any()


def test_truth_boxes_are_tight():
    masks = np.zeros((2, 9, 9), bool)
    masks[1, 2:5, 3] = True
    boxes = truth_boxes(truth_of(masks, [4, 7]))  # the first object has no pixel
    assert (boxes.corners.tolist(), boxes.class_ids.tolist(), boxes.scores.tolist()) == (
        [[3, 2, 4, 5]],
        [7],
        [1],
    )


def test_class_map_boxes_frame_the_largest_part_above_a_fifth_of_the_maximum():
    maps = np.full((4, 6, 8), -5, np.float32)
    maps[0, 1, 1] = 10  # the maximum stands alone
    maps[0, 3, 3:7] = 2.1
    maps[0, 4, 2] = 2.1  # touches by a corner
    maps[0, 5, 2] = 2.0  # a fifth is not above it
    maps[1, 0, 0] = 3  # present, but below the threshold of presence
    maps[2] = -1  # nowhere positive
    maps[3] = 1
    settings = RetrievalSettings(presence=4.0)
    scores = np.array([0, 0, 20, 4], np.float32)
    evidence = replace(random_evidence(0), class_maps=maps, class_scores=scores)
    picture = MeasuredPicture(
        np.zeros((6, 8, 3), np.uint8), truth_of(np.zeros((0, 6, 8), bool), []), evidence, settings, {}
    )
    boxes = class_map_boxes(picture)
    assert boxes.class_ids.tolist() == [0, 3]
    assert boxes.corners.tolist() == [[2, 3, 7, 5], [0, 0, 8, 6]]
    assert boxes.scores[0] > boxes.scores[1]  # strength 10 against 5


def test_ground_truth_is_exact_in_the_galleries_that_hold_it():
    evidence, masks = random_evidence(3), two_blobs()
    frame = np.random.default_rng(3).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    galleries = galleries_with_truth(evidence, frame, masks)
    made = galleries.by_name
    assert (made[TRUTH].gallery.masks() == masks).all()
    proposals = evidence.gallery.masks().repeat(2, axis=1).repeat(2, axis=2)
    assert (made[BOTH].gallery.masks() == np.concatenate([proposals, masks])).all()
    for each in made.values():
        assert (each.graph.labels == each.gallery.labels).all()
        assert each.graph.sizes.sum() == 96 * 128
        assert (each.graph.sizes > 0).all()
        whole = evidence.gallery.labels.repeat(2, axis=0).repeat(2, axis=1)
        assert (galleries.origin[each.graph.labels] == whole).all()


def test_a_picture_without_objects_has_no_ground_truth_in_its_galleries():
    evidence = random_evidence(4)
    made = galleries_with_truth(
        evidence, np.zeros((96, 128, 3), np.uint8), np.zeros((0, 96, 128), bool)
    ).by_name
    assert len(made[TRUTH].gallery) == 0
    assert len(made[BOTH].gallery) == len(evidence.gallery)


@pytest.mark.parametrize(
    ("width", "fine", "expected"),
    [(5, (320, 240), 5), (5, (640, 480), 11), (3, (160, 120), 3), (7, (480, 360), 11)],
)
def test_contours_keep_their_width_in_the_picture(width, fine, expected):
    settings = RetrievalSettings(eq6=Eq6Settings(contour_width=width))
    assert contour_width_on(settings, (320, 240), fine) == expected


def test_masks_retrieve_themselves_and_prms_what_they_lie_in():
    masks, class_ids = two_blobs(), [0, 1]
    prms = masks.astype(np.float32)
    prms /= prms.sum(axis=(1, 2), keepdims=True)
    maps = masks[:, 2::4, 2::4].astype(np.float32) * 10 - 2
    peaks = np.array([[0, 10, 11], [1, 15, 20]], np.int64)
    base = random_evidence(5, classes=2)
    evidence = replace(
        base,
        class_maps=maps,
        class_scores=np.full(2, 8, np.float32),
        peaks=peaks,
        peak_scores=np.full(2, 8, np.float32),
        prms=prms,
    )
    frame = np.random.default_rng(5).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    tally = GalleryTally(2)
    tally.update(retrieved_by_both(frame, truth_of(masks, class_ids), evidence, RetrievalSettings()))
    of_random_proposals, both, truth = tally.compute("GT mask")
    assert (both, truth) == (100, 100)
    assert of_random_proposals < 100
    assert tally.compute("PRM")[2] == 100
    assert tally.compute("GT box")[2] == 100
    assert tally.compute(REGIONS)[2] == 100


def test_contours_are_widened_where_the_gallery_is_finer():
    masks = np.zeros((2, 96, 128), bool)
    masks[0, 10:40, 80:110] = True
    masks[1, 30:80, 10:60] = True
    prm = np.zeros((1, 96, 128), np.float32)
    prm[0, 34, 20:50] = 1 / 30  # 4 px inside the second: within 2 px of the coarse grid, 4 of the fine one
    base = random_evidence(6)
    evidence = replace(
        base,
        peaks=np.array([[0, 0, 0]], np.int64),
        peak_scores=np.ones(1, np.float32),
        prms=prm,
    )
    settings = RetrievalSettings(eq6=Eq6Settings(alpha=0.0, beta=0.0, contour_width=5))
    frame = np.random.default_rng(6).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    tally = GalleryTally(3)
    tally.update(retrieved_by_both(frame, truth_of(masks, [1, 0]), evidence, settings))
    assert tally.compute("PRM")[2] == 50  # of two classes the one that has a peak


@pytest.mark.parametrize("seed", range(6))
def test_ablated_eq6_leaves_out_one_term(seed):
    evidence = random_evidence(seed, peaks=5)
    alpha, beta, bias, width = 1.3, 0.8, 0.9, 5
    eq6 = Eq6Settings(alpha=alpha, beta=beta, background_bias=bias, contour_width=width)
    settings = RetrievalSettings(nms_iou=1.0, eq6=eq6)  # no two masks overlap more: every peak keeps its own
    contours_alone = eq6_oracle.scores(evidence, 0.0, 0.0, bias, width)
    full = eq6_oracle.scores(evidence, alpha, beta, bias, width)
    expected = {
        "without instance-aware term": eq6_oracle.scores(evidence, 0.0, beta, bias, width),
        "without class-aware term": eq6_oracle.scores(evidence, alpha, 0.0, bias, width),
        "without boundary-aware term": full - contours_alone,
    }
    assert set(ablations(eq6)) == set(expected)
    terms = eq6_terms(evidence, eq6)
    for name, weights in ablations(eq6).items():
        retrieved = top_proposals(evidence, terms.scores(weights), settings)
        assert sorted(retrieved.peak_indices) == list(range(len(evidence.peaks)))
        best = expected[name].argmax(axis=1)[retrieved.peak_indices]
        assert (retrieved.members == evidence.gallery.members[best]).all(), name


def test_every_term_of_eq6_decides_somewhere():
    def choices(settings):
        found = [create_retrieval(settings)(random_evidence(seed, peaks=5)) for seed in range(6)]
        return np.concatenate([retrieved.members[np.argsort(retrieved.peak_indices)] for retrieved in found])

    settings = RetrievalSettings(method="eq6", nms_iou=1.0, eq6=Eq6Settings(alpha=1.3, beta=0.8))
    for name, weights in ablations(settings.eq6).items():
        changed = replace(settings, eq6=weights)
        assert (choices(changed) != choices(settings)).any(), name
