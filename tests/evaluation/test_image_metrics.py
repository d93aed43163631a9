"""Semantic IoU, pointwise localisation and classification on cases with known answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from prm_evaluation.metrics import (
    ClassificationPrecision,
    PointwiseLocalisation,
    SemanticIoU,
    mean_over_classes,
    merge_instances,
)
from prm_evaluation.metrics.localisation import strongest_positions


def test_the_higher_score_wins_a_pixel():
    masks = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 1, 1, 0]]], dtype=bool)
    merged = merge_instances(masks, np.array([0.5, 0.9, 0.9]), np.array([0, 4, 7]))
    assert merged.tolist() == [[1, 5, 5, 0]]


def test_no_instances_are_all_background():
    assert not merge_instances(np.zeros((0, 2, 3), bool), np.zeros(0), np.zeros(0, int)).any()


def test_semantic_iou_ignores_void_and_sums_over_pictures():
    metric = SemanticIoU(num_classes=3)
    metric.update(np.array([[1, 1, 0, 2]], np.uint8), np.array([[1, 0, 0, 255]], np.uint8))
    metric.update(np.array([[0, 1]], np.uint8), np.array([[1, 1]], np.uint8))
    background, first, second, third = metric.compute()
    assert background == pytest.approx(1 / 3)
    assert first == pytest.approx(2 / 4)
    assert np.isnan(second)  # only ever predicted on void
    assert np.isnan(third)
    assert mean_over_classes(metric.compute()) == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_a_class_predicted_where_none_is_counts_as_zero():
    metric = SemanticIoU(num_classes=1)
    metric.update(np.array([[1, 0]], np.uint8), np.array([[0, 0]], np.uint8))
    assert metric.compute().tolist() == [0.5, 0]


def test_strongest_position_is_that_of_the_upsampled_map():
    rng = np.random.default_rng(0)
    height, width = 360, 500
    for _ in range(20):
        class_map = rng.normal(size=(12, 14)).astype(np.float32)
        class_map[rng.integers(1, 11), rng.integers(1, 13)] = (
            10  # off the border, where the maximum is a plateau
        )
        up = cv2.resize(class_map, (width, height), interpolation=cv2.INTER_LINEAR)
        y, x = np.unravel_index(up.argmax(), up.shape)
        assert (
            np.abs(strongest_positions(class_map[None], (height, width))[0] - (x + 0.5, y + 0.5)).max() <= 1
        )


def localisation(pictures, tolerance=0.0):
    metric = PointwiseLocalisation(2, tolerance)
    for scores, positions, boxes, box_ids in pictures:
        metric.update(
            np.array(scores, float),
            np.array(positions, float),
            np.array(boxes).reshape(-1, 4),
            np.array(box_ids, int),
        )
    return metric.compute()


def test_localisation_needs_the_class_and_the_place():
    box = [10, 10, 20, 20]
    inside, outside = [(10, 19.9), (0, 0)], [(20, 15), (0, 0)]
    assert localisation([([1, 0], inside, [box], [0])])[0] == 1
    assert localisation([([1, 0], outside, [box], [0])])[0] == 0
    assert np.isnan(localisation([([1, 0], inside, [box], [0])])[1])


def test_localisation_ranks_over_pictures():
    box = [10, 10, 20, 20]
    right, wrong = [(15, 15), (0, 0)], [(30, 15), (0, 0)]
    pictures = [
        ([3, 0], right, [box], [1]),  # the class is not there: a false positive on top
        ([2, 0], right, [box, [0, 0, 5, 5]], [0, 0]),
        ([1, 0], wrong, [box], [0]),
    ]
    assert localisation(pictures)[0] == pytest.approx(0.5 / 2)


def test_tolerance_widens_the_boxes():
    near = [([1, 0], [(30, 15), (0, 0)], [[10, 10, 20, 20]], [0])]
    assert localisation(near)[0] == 0
    assert localisation(near, tolerance=18)[0] == 1


def test_classification_average_precision():
    metric = ClassificationPrecision(3)
    metric.update(np.array([3.0, 1.0, 0.0]), np.array([False, True, False]))
    metric.update(np.array([2.0, 0.0, 1.0]), np.array([True, False, False]))
    first, second, third = metric.compute()
    assert (first, second) == (pytest.approx(0.5), 1)
    assert np.isnan(third)


def test_metrics_without_pictures_are_unknown():
    for metric in (ClassificationPrecision(2), PointwiseLocalisation(2), SemanticIoU(2)):
        assert np.isnan(metric.compute()).all()
