"""The metrics behind the tables: known answers and slow forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prm_evaluation.metrics.confusion import InstanceConfusion
from prm_evaluation.metrics.prm_quality import PrmQuality, best_energy, energy_inside
from prm_evaluation.tables.sizes import SIZE_NAMES, size_bins


def ids(*values: int):
    return np.array(values, np.int64)


def test_energy_inside_is_the_papers_quotient():
    rng = np.random.default_rng(0)
    prms = rng.random((4, 6, 5)).astype(np.float32)
    masks = rng.random((3, 6, 5)) < 0.4
    expected = np.zeros((4, 3))
    for p, R in enumerate(prms):
        for g, G in enumerate(masks):
            expected[p, g] = (R.astype(np.float64) * G).sum() / R.astype(np.float64).sum()
    assert np.allclose(energy_inside(prms, masks), expected, atol=1e-6)


def test_energy_on_void_pixels_counts_in_neither_sum():
    prm = np.array([[[3, 1], [2, 4]]], np.float32)
    mask = np.array([[[True, False], [False, False]]])
    void = np.array([[False, False], [False, True]])
    assert energy_inside(prm, mask)[0] == pytest.approx([0.3])
    assert energy_inside(prm, mask, void)[0] == pytest.approx([0.5])
    assert energy_inside(prm, mask, np.ones((2, 2), bool)).tolist() == [[0]]


def test_energy_inside_covers_the_picture_at_another_size():
    prms = np.zeros((1, 8, 12), np.float32)
    prms[0, 1, 2] = 5
    masks = np.zeros((2, 32, 48), bool)
    masks[0, :16, :24] = True
    masks[1] = ~masks[0]
    assert energy_inside(prms, masks)[0] == pytest.approx([1, 0], abs=1e-6)


def test_a_prm_without_energy_is_inside_nothing():
    assert energy_inside(np.zeros((1, 2, 2), np.float32), np.ones((1, 4, 4), bool)).tolist() == [[0]]
    assert energy_inside(np.zeros((0, 2, 2), np.float32), np.ones((1, 4, 4), bool)).shape == (0, 1)
    assert energy_inside(np.ones((2, 2, 2), np.float32), np.ones((0, 4, 4), bool)).shape == (2, 0)


def test_the_score_of_a_prm_looks_at_objects_of_its_class_only():
    energy = np.array([[0.9, 0.2], [0.9, 0.2]], np.float32)
    assert best_energy(energy, ids(0, 1), ids(0, 1)) == pytest.approx([0.9, 0.2])
    assert best_energy(energy, ids(2, 2), ids(0, 1)).tolist() == [0, 0]
    assert best_energy(np.zeros((1, 0), np.float32), ids(0), ids()).tolist() == [0]


def test_half_the_energy_is_not_more_than_half():
    for share, expected in ((0.5, 0.0), (0.51, 1.0)):
        quality = PrmQuality(1)
        quality.update(np.array([[share]], np.float32), np.array([1.0]), ids(0), ids(0))
        assert (quality.over_objects()[0], quality.over_prms()[0]) == (expected, expected)


def test_a_second_prm_of_an_object_counts_in_one_of_the_two_ways():
    quality = PrmQuality(2)
    # objects a and b; by falling score: hit of a, hit of a again, miss, hit of b
    energy = np.array([[0.8, 0.1], [0.7, 0.1], [0.3, 0.3], [0.0, 0.6]], np.float32)
    quality.update(energy, np.array([4.0, 3.0, 2.0, 1.0]), ids(0, 0, 0, 0), ids(0, 0))
    assert quality.over_objects()[0] == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert quality.over_prms()[0] == pytest.approx((1 / 1 + 2 / 2 + 3 / 4) / 3)
    assert math.isnan(quality.over_objects()[1])
    assert math.isnan(quality.over_prms()[1])


def test_an_object_that_no_prm_finds_counts_against_objects_only():
    quality = PrmQuality(1)
    quality.update(np.array([[0.9, 0.0]], np.float32), np.array([1.0]), ids(0), ids(0, 0))
    assert quality.over_objects()[0] == pytest.approx(0.5)
    assert quality.over_prms()[0] == 1
    blind = PrmQuality(1)
    blind.update(np.zeros((0, 1), np.float32), np.zeros(0), ids(), ids(0))
    assert (blind.over_objects()[0], blind.over_prms()[0]) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_quality_over_prms_equals_its_slow_form(seed):
    rng = np.random.default_rng(seed)
    quality = PrmQuality(3)
    ranked = {c: [] for c in range(3)}
    objects = set()
    for _ in range(6):
        P, G = rng.integers(0, 6), rng.integers(0, 4)
        energy, scores = rng.random((P, G)).astype(np.float32), rng.permutation(P) + rng.random(P)
        classes, truth = rng.integers(0, 3, P), rng.integers(0, 3, G)
        quality.update(energy, scores, classes, truth)
        objects |= set(truth.tolist())
        for p in range(P):
            best = max((energy[p, g] for g in range(G) if truth[g] == classes[p]), default=0)
            ranked[classes[p]].append((scores[p], best > 0.5))
    for c, result in enumerate(quality.over_prms()):
        hits = [hit for _, hit in sorted(ranked[c], key=lambda pair: -pair[0])]
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
        # precision at a recall is the best at that recall or beyond
        wanted = [max(precisions[i:]) for i, hit in enumerate(hits) if hit]
        if c in objects:
            assert result == pytest.approx(np.mean(wanted) if wanted else 0)
        else:
            assert math.isnan(result)


def test_confusion_of_a_known_picture():
    confusion = InstanceConfusion(2)
    # objects: 0 of class 0, 1 of class 1, 2 of class 1 that nobody finds
    iou = np.array([[0.6, 0.1, 0.0], [0.5, 0.1, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.2]], np.float32)
    # the first finds object 0 under the wrong class, the second comes too late, the third is right, the last
    # overlaps too little
    confusion.update(iou, np.array([0.9, 0.8, 0.7, 0.6]), ids(1, 0, 1, 1), ids(0, 1, 1))
    assert confusion.compute().tolist() == [[0, 1, 0], [0, 1, 1], [1, 1, 0]]


def test_confusion_goes_by_score_and_not_by_order():
    confusion = InstanceConfusion(2)
    confusion.update(np.array([[0.9], [0.3]], np.float32), np.array([0.1, 0.2]), ids(0, 1), ids(0))
    assert confusion.compute().tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_confusion_counts_every_object_and_prediction_once(seed):
    rng = np.random.default_rng(seed)
    confusion, objects, predictions = InstanceConfusion(4), np.zeros(4), np.zeros(4)
    for _ in range(5):
        P, G = rng.integers(0, 6), rng.integers(0, 4)
        classes, truth = rng.integers(0, 4, P), rng.integers(0, 4, G)
        confusion.update(rng.random((P, G)).astype(np.float32), rng.random(P), classes, truth)
        objects += np.bincount(truth, minlength=4)
        predictions += np.bincount(classes, minlength=4)
    counts = confusion.compute()
    assert counts[:-1].sum(axis=1).tolist() == objects.tolist()
    assert counts[:, :-1].sum(axis=0).tolist() == predictions.tolist()


def test_sizes_include_their_lower_bound():
    shares = np.array([0.0, 0.0099, 0.01, 0.05, 0.15, 0.399, 0.4, 1.0])
    assert [SIZE_NAMES[size] for size in size_bins(shares)] == [
        "area < 1 %",
        "area < 1 %",
        "area 1-5 %",
        "area 5-15 %",
        "area 15-40 %",
        "area 15-40 %",
        "area > 40 %",
        "area > 40 %",
    ]
