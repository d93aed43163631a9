"""mAP^r, ABO and mask IoU on cases with known answers, and against slow or foreign implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from tests.oracles.average_precision import instance_average_precision

from prm_evaluation.metrics import (
    AverageBestOverlap,
    InstancePrecision,
    average_precision,
    mask_iou,
    mean_over_classes,
)

PERSON, DOG, SHEEP = 0, 1, 2


def rows(*spans: tuple[int, int]) -> np.ndarray:
    """Masks on a 1 x 10 picture, one per (first, last + 1) column."""
    masks = np.zeros((len(spans), 1, 10), dtype=bool)
    for mask, (first, end) in zip(masks, spans, strict=True):
        mask[0, first:end] = True
    return masks


def random_masks(rng: np.random.Generator, count: int, height: int = 12, width: int = 17) -> np.ndarray:
    masks = np.zeros((count, height, width), dtype=bool)
    for mask in masks:
        y0, x0 = rng.integers(0, height - 2), rng.integers(0, width - 2)
        mask[y0 : rng.integers(y0 + 1, height), x0 : rng.integers(x0 + 1, width)] = True
    return masks


def precision_of(pictures, num_classes: int = 3, thresholds=(0.25, 0.5, 0.75)):
    metric = InstancePrecision(num_classes, thresholds)
    for masks, scores, class_ids, truth, truth_ids in pictures:
        metric.update(
            mask_iou(masks, truth),
            np.asarray(scores, float),
            np.array(class_ids, int),
            np.array(truth_ids, int),
        )
    return metric.compute()


def test_mask_iou_equals_pycocotools():
    rng = np.random.default_rng(0)
    masks, truth = random_masks(rng, 9), random_masks(rng, 7)

    def encode(stack):
        return [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in stack]

    expected = coco.iou(encode(masks), encode(truth), [0] * len(truth))
    np.testing.assert_allclose(mask_iou(masks, truth), expected, atol=1e-6)


def test_empty_masks_do_not_overlap():
    assert mask_iou(rows((0, 0)), rows((0, 0)))[0, 0] == 0
    assert mask_iou(rows(), rows((0, 3))).shape == (0, 1)


def test_masks_of_different_pictures_are_refused():
    with pytest.raises(ValueError, match=r"one size.*\(1, 1, 10\) and \(1, 10, 1\)"):
        mask_iou(rows((0, 3)), rows((0, 3)).transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("matches", "positives", "expected"),
    [
        ([True, True], 2, 1.0),
        ([True, True], 4, 0.5),
        ([False, True], 1, 0.5),
        ([True, False, True], 2, (1 + 2 / 3) / 2),
        ([False, False], 3, 0.0),
        ([], 3, 0.0),
    ],
)
def test_average_precision_of_a_ranked_list(matches, positives, expected):
    scores = -np.arange(len(matches))
    assert average_precision(scores, matches, positives) == pytest.approx(expected)


def test_average_precision_without_anything_to_find_is_unknown():
    assert np.isnan(average_precision([0.5], [False], 0))


def test_the_precision_curve_is_interpolated():
    # precision 1/2 at recall .5, then 2/3 at recall 1: the later, better precision counts for both
    assert average_precision([3, 2, 1], [False, True, True], 2) == pytest.approx(2 / 3)


def test_thresholds_are_inclusive_and_independent():
    half = (rows((0, 4)), [0.9], [DOG], rows((0, 8)), [DOG])  # IoU exactly .5
    ap = precision_of([half])
    assert [ap[t][DOG] for t in (0.25, 0.5, 0.75)] == [1, 1, 0]
    assert np.isnan(ap[0.5][PERSON])
    assert mean_over_classes(ap[0.5]) == 1


def test_a_second_hit_on_an_object_is_a_false_positive():
    twice = (rows((0, 4), (0, 4)), [0.8, 0.9], [DOG, DOG], rows((0, 4), (6, 9)), [DOG, DOG])
    assert precision_of([twice])[0.5][DOG] == pytest.approx(0.5)


def test_a_duplicate_does_not_fall_back_to_the_next_object():
    # both overlap the first object most; the second prediction would reach .25 on the second object
    picture = (rows((0, 6), (1, 8)), [0.9, 0.8], [DOG, DOG], rows((0, 6), (6, 9)), [DOG, DOG])
    assert mask_iou(picture[0], picture[3])[1, 1] >= 0.25
    assert precision_of([picture])[0.25][DOG] == pytest.approx(0.5)


def test_objects_of_another_class_or_picture_do_not_count():
    wrong_class = (rows((0, 4)), [0.9], [PERSON], rows((0, 4)), [DOG])
    ap = precision_of([wrong_class])
    assert ap[0.5][DOG] == 0
    assert np.isnan(ap[0.5][PERSON])
    swapped = [
        (rows((0, 4)), [0.9], [DOG], rows((6, 9)), [DOG]),
        (rows((6, 9)), [0.8], [DOG], rows((0, 4)), [DOG]),
    ]
    assert precision_of(swapped)[0.25][DOG] == 0


def test_a_prediction_where_no_object_is_lowers_the_precision():
    pictures = [
        (rows((0, 4)), [0.9], [DOG], rows(), []),
        (rows((0, 4)), [0.8], [DOG], rows((0, 4)), [DOG]),
    ]
    assert precision_of(pictures)[0.5][DOG] == pytest.approx(0.5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_instance_precision_equals_the_oracle(seed):
    rng = np.random.default_rng(seed)
    pictures, predictions, truths = [], [], []
    ranks = rng.permutation(100) / 100  # distinct, so that the ranking is unique
    used = 0
    for _ in range(rng.integers(1, 6)):
        truth = random_masks(rng, rng.integers(0, 5), 5, 6)
        masks = np.concatenate([random_masks(rng, rng.integers(0, 5), 5, 6), truth[: rng.integers(0, 3)]])
        class_ids, truth_ids = rng.integers(0, 3, len(masks)), rng.integers(0, 3, len(truth))
        scores = ranks[used : used + len(masks)]
        used += len(masks)
        pictures.append((masks, scores, class_ids, truth, truth_ids))
        predictions.append(list(zip(class_ids, scores, masks, strict=True)))
        truths.append(list(zip(truth_ids, truth, strict=True)))
    ap = precision_of(pictures)
    for threshold, per_class in ap.items():
        expected = [instance_average_precision(predictions, truths, c, threshold) for c in range(3)]
        np.testing.assert_allclose(per_class, expected, atol=1e-12)


def test_average_best_overlap():
    metric = AverageBestOverlap(3)
    masks = rows((0, 4), (0, 8), (6, 9))
    truth, truth_ids = rows((0, 8), (6, 9), (4, 5)), np.array([DOG, DOG, PERSON])
    metric.update(mask_iou(masks, truth), np.array([DOG, SHEEP, DOG]), truth_ids)
    metric.update(np.zeros((0, 2), np.float32), np.zeros(0, int), np.array([DOG, DOG]))
    per_class = metric.compute()
    assert per_class[DOG] == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert per_class[PERSON] == 0
    assert np.isnan(per_class[SHEEP])
    assert mean_over_classes(per_class) == pytest.approx(0.375 / 2)
    assert metric.over_objects() == pytest.approx(1.5 / 5)
