"""Accumulators filled in parts against one that saw everything."""

from __future__ import annotations

import numpy as np
import pytest

from prm_evaluation.metrics import (
    AverageBestOverlap,
    InstancePrecision,
    PointwiseLocalisation,
    SemanticIoU,
    merged,
)


def random_update(rng: np.random.Generator):
    n, g = rng.integers(0, 5, 2)
    return rng.random((n, g)).astype(np.float32), rng.random(n), rng.integers(0, 3, n), rng.integers(0, 3, g)


def test_parts_count_what_the_whole_does():
    rng = np.random.default_rng(0)
    updates = [random_update(rng) for _ in range(30)]
    whole, parts = InstancePrecision(3), [InstancePrecision(3) for _ in range(4)]
    overlap, overlap_parts = AverageBestOverlap(3), [AverageBestOverlap(3) for _ in range(4)]
    for i, (iou, scores, class_ids, truth_ids) in enumerate(updates):
        whole.update(iou, scores, class_ids, truth_ids)
        parts[i // 9].update(iou, scores, class_ids, truth_ids)
        overlap.update(iou, class_ids, truth_ids)
        overlap_parts[i // 9].update(iou, class_ids, truth_ids)
    result = merged(parts)
    for class_id in range(3):
        for mine, expected in zip(result.predictions([class_id]), whole.predictions([class_id]), strict=True):
            assert (mine == expected).all()
    for threshold, values in whole.compute().items():
        assert (result.compute()[threshold] == values).all()
    assert merged(overlap_parts).compute() == pytest.approx(overlap.compute())


def test_records_keep_the_order_of_the_parts():
    whole, parts = PointwiseLocalisation(2), [PointwiseLocalisation(2) for _ in range(3)]
    for i, part in enumerate(parts):
        update = (np.array([0.5, i]), np.zeros((2, 2)), np.array([[0, 0, 1, 1]]), np.array([i % 2]))
        part.update(*update)
        whole.update(*update)
    parts.insert(1, PointwiseLocalisation(2))  # one that saw no picture
    assert merged(parts).compute().tolist() == whole.compute().tolist()


def test_counts_are_added():
    first, second = SemanticIoU(1), SemanticIoU(1)
    first.add(np.array([[2, 0], [0, 0]]))
    second.add(np.array([[0, 1], [0, 3]]))
    assert merged([first, second]).compute() == pytest.approx([2 / 3, 3 / 4])


def test_accumulators_of_other_settings_are_refused():
    with pytest.raises(ValueError, match=r"equal settings can be merged; thresholds: \(0.5,\) and \(0.25,\)"):
        merged([InstancePrecision(3, [0.5]), InstancePrecision(3, [0.25])])
