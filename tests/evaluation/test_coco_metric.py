"""COCO's AP and AR on cases with known answers, and against mAP^r where the two protocols agree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from prm_evaluation.metrics import COCO_FIGURES, CocoPrecision, InstancePrecision, mask_iou

WIDTH = 200


def bars(*spans: tuple[int, int], height: int = 10) -> np.ndarray:
    """Masks on a picture 200 pixels wide, one per (first, last + 1) column."""
    masks = np.zeros((len(spans), height, WIDTH), bool)
    for mask, (first, end) in zip(masks, spans, strict=True):
        mask[:, first:end] = True
    return masks


@dataclass
class Picture:
    """Predictions and ground truth of one picture, all of one class unless said otherwise."""

    found: np.ndarray
    scores: list[float]
    truth: np.ndarray
    class_ids: list[int] | None = None
    truth_ids: list[int] | None = None
    areas: list[float] | None = None
    crowd: list[bool] = field(default_factory=list)


def measure(*pictures: Picture, num_classes: int = 2) -> dict[str, float]:
    metric = CocoPrecision(num_classes)
    for picture in pictures:
        areas = picture.truth.sum(axis=(1, 2)) if picture.areas is None else picture.areas
        metric.update(
            picture.found,
            np.array(picture.scores, np.float32),
            np.array(picture.class_ids or [0] * len(picture.found), np.int64),
            picture.truth,
            np.array(picture.truth_ids or [0] * len(picture.truth), np.int64),
            np.asarray(areas, np.float64),
            np.array(picture.crowd or [False] * len(picture.truth), bool),
        )
    return metric.compute()


def test_the_first_object_of_all_found_to_the_pixel_is_worth_everything():
    figures = measure(Picture(bars((0, 50)), [0.5], bars((0, 50))))
    assert tuple(figures) == COCO_FIGURES
    known = {name: value for name, value in figures.items() if not math.isnan(value)}
    # 500 pixels are small
    assert known == pytest.approx(
        dict.fromkeys(["AP", "AP50", "AP75", "AP small", "AR 1", "AR 10", "AR 100", "AR small"], 1.0)
    )


def test_an_overlap_of_82_percent_passes_seven_of_ten_thresholds():
    figures = measure(Picture(bars((0, 41)), [0.5], bars((0, 50))))
    assert (figures["AP50"], figures["AP75"]) == pytest.approx((1, 1))
    assert (figures["AP"], figures["AR 100"]) == pytest.approx((0.7, 0.7))


def test_one_prediction_a_picture_finds_one_of_two():
    figures = measure(Picture(bars((0, 50), (100, 150)), [0.9, 0.8], bars((100, 150), (0, 50))))
    assert (figures["AP"], figures["AR 1"], figures["AR 10"]) == pytest.approx((1, 0.5, 1))


def test_a_better_scored_false_positive_halves_the_precision():
    figures = measure(
        Picture(bars((0, 50)), [0.5], bars((0, 50))),
        Picture(bars((100, 150)), [0.9], bars()),
    )
    assert (figures["AP"], figures["AR 100"]) == pytest.approx((0.5, 1))


def test_the_stated_area_says_what_is_small_medium_or_large():
    truth = bars((0, 50), (60, 110), (120, 170))
    figures = measure(Picture(truth[1:2], [0.9], truth, areas=[32.0**2 - 1, 33.0**2, 97.0**2]))
    sizes = [figures[f"AR {size}"] for size in ("small", "medium", "large")]
    assert sizes == [0, 1, 0]
    assert math.isnan(measure(Picture(truth, [0.9] * 3, truth, areas=[1.0] * 3))["AP medium"])


def test_what_is_found_in_a_crowd_of_its_class_is_ignored():
    truth = bars((0, 50), (80, 200))
    found = bars((90, 120), (130, 150), (0, 50))
    picture = Picture(found, [0.9, 0.8, 0.5], truth, crowd=[False, True])
    assert measure(picture)["AP"] == pytest.approx(1)
    picture.crowd = [False, False]
    assert measure(picture)["AP"] < 0.5
    picture.crowd, picture.truth_ids = [False, True], [0, 1]
    assert measure(picture)["AP"] == pytest.approx(1 / 3)


def test_classes_are_averaged_and_not_confused():
    found, truth = bars((0, 50), (100, 150)), bars((0, 50), (100, 150))
    swapped = measure(Picture(found, [0.9, 0.8], truth, class_ids=[0, 1], truth_ids=[1, 0]))
    assert (swapped["AP"], swapped["AR 100"]) == (0, 0)
    one_of_two = measure(Picture(found[:1], [0.9], truth, class_ids=[1], truth_ids=[1, 2]), num_classes=4)
    assert one_of_two["AP"] == pytest.approx(0.5)


def test_nothing_to_find_has_no_figures_and_nothing_found_scores_nothing():
    assert all(math.isnan(value) for value in measure().values())
    assert all(math.isnan(value) for value in measure(Picture(bars((0, 50)), [0.5], bars())).values())
    assert measure(Picture(bars(), [], bars((0, 50))))["AP"] == 0


def test_computing_leaves_stdout_alone_and_can_be_repeated(capsys):
    metric = CocoPrecision(1)
    none = np.zeros(0, np.int64)
    for truth in (bars((0, 50)), bars((60, 110))):
        ids, one = np.zeros(1, np.int64), np.ones(1)
        found = bars((0, 50))
        metric.update(found, one, ids, truth, ids, 500 * one, ids.astype(bool))
        first, again = metric.compute(), metric.compute()
        assert first == pytest.approx(again, nan_ok=True)
    metric.update(bars(), np.zeros(0), none, bars((0, 50)), ids, 500 * one, ids.astype(bool))
    assert metric.compute()["AR 100"] == pytest.approx(1 / 3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(3))
def test_ap50_is_our_map50_but_for_reading_the_curve_at_101_recalls(seed):
    """Of objects that lie apart, both protocols match the same predictions."""
    rng = np.random.default_rng(seed)
    metric, ours = CocoPrecision(3), InstancePrecision(3, [0.5])
    for _ in range(30):
        starts = np.arange(0, WIDTH, 40)
        truth = bars(*((start, start + 30) for start in starts))
        shifts, kept = rng.integers(0, 25, len(starts)), rng.random(len(starts)) < 0.8
        moved = starts + shifts
        found = bars(*zip(moved, np.minimum(moved + 30, WIDTH), strict=True))
        found = np.concatenate([found[kept], truth[:1]])  # and a second claim, on an object perhaps taken
        truth_ids = rng.integers(0, 3, len(truth))
        class_ids = np.append(truth_ids[kept], truth_ids[0])
        scores = rng.random(len(found))
        none = np.zeros(len(truth), bool)
        metric.update(found, scores, class_ids, truth, truth_ids, truth.sum(axis=(1, 2)), none)
        ours.update(mask_iou(found, truth), scores, class_ids, truth_ids)
    expected = float(np.mean(ours.compute()[0.5]))
    assert 0.1 < expected < 0.9
    assert metric.compute()["AP50"] == pytest.approx(expected, abs=0.011)
