"""Which peaks live, and calibrated scores."""

from __future__ import annotations

import numpy as np
import pytest

from prm_proposals.evidence import peak_strength
from prm_proposals.peaks import live_peaks
from prm_proposals.refine import RefinedRetrieval
from prm_proposals.retrieval import create_retrieval, probability
from prm_proposals.settings import RetrievalSettings

#            cat 9       dog 8       cat 4       cat 2.5     dog 1.9     unused
PEAKS = np.array([[0, 0, 0], [1, 1, 1], [0, 2, 2], [0, 0, 2], [1, 2, 0], [-1, -1, -1]])
SCORES = np.array([9, 8, 4, 2.5, 1.9, -np.inf], np.float32)


def live(aggregates=(1.0, 1.0), **changes) -> list[int]:
    maps = np.full((2, 3, 3), -1, np.float32)
    for (c, row, col), score in zip(PEAKS[:5], SCORES, strict=False):
        maps[c, row, col] = score
    settings = RetrievalSettings(**{"presence": 6, "peak_floor": 2, "peak_ratio": 0.3, **changes})
    return live_peaks(PEAKS, SCORES, maps, np.float32(aggregates), settings).tolist()


def test_floor_and_ratio():
    assert live() == [0, 1, 2]
    assert live(peak_ratio=0.0) == [0, 1, 2, 3]
    assert live(peak_ratio=0.0, peak_floor=0) == [0, 1, 2, 3, 4]


def test_presence_is_the_maximum_plus_the_aggregate():
    assert live(presence=10) == []  # 9 + 1 does not exceed 10
    assert live(presence=9.5) == [0, 2]
    assert live(aggregates=(-4, 1)) == [1]


def test_the_best_peaks_are_kept():
    assert live(max_peaks=2) == [0, 1]


def test_each_class_has_a_range_of_its_own():
    # strengths: cat (9 + 1 - 4) / 2 = 3, dog (8 + 1 - 0) / 1 = 9
    calibration = {"class_offsets": (4.0, 0.0), "class_scales": (2.0, 1.0)}
    assert live(presence=2.9, **calibration) == [1, 0, 2]  # the dog is stronger now
    assert live(presence=3.0, **calibration) == [1]
    assert live(presence=2.9, max_peaks=2, **calibration) == [1, 0]


def test_a_peak_is_as_strong_as_its_class_less_what_it_lacks_to_the_best():
    maps = np.array([[[9, 4]], [[8, 0]]], np.float32)
    settings = RetrievalSettings(class_offsets=(4.0, 0.0), class_scales=(2.0, 1.0))
    strength = peak_strength(
        maps, np.ones(2, np.float32), np.array([0, 0, 1]), maps[[0, 0, 1], 0, [0, 1, 0]], settings
    )
    assert strength.tolist() == [3.0, 0.5, 9.0]


@pytest.mark.parametrize("calibration", [{"class_offsets": (1.0,)}, {"class_scales": (1.0, 1.0, 1.0)}])
def test_the_calibration_has_to_fit_the_classes(calibration):
    with pytest.raises(ValueError, match=r"one value per class \(2\)"):
        live(**calibration)


def test_probability_is_logistic_monotone_and_finite():
    settings = RetrievalSettings(score_offset=6, score_scale=2)
    values = probability([-1e9, 2, 6, 10, 1e9], settings)
    assert values[2] == 0.5
    assert values[1] == pytest.approx(1 / (1 + np.exp(2)))
    assert (np.diff(values) > 0).all()
    assert values.min() > 0
    assert values.max() <= 1


def test_an_unknown_method_is_named():
    assert isinstance(create_retrieval(RetrievalSettings(method="walk")), RefinedRetrieval)
    with pytest.raises(ValueError, match="magic"):
        create_retrieval(RetrievalSettings(method="magic"))


def test_without_thresholds_every_peak_lives_whatever_its_sign() -> None:
    settings = RetrievalSettings(presence=-1e9, peak_floor=-1e9, peak_ratio=0.0, max_peaks=9)
    peaks = np.int64([[0, 0, 0], [0, 1, 1], [-1, -1, -1]])
    scores = np.float32([-1.0, -3.0, 0.0])
    maps = np.full((1, 2, 2), -5, np.float32)
    found = live_peaks(peaks, scores, maps, np.float32([-2.0]), settings)
    assert found.tolist() == [0, 1]
