"""The search over settings, and the calibration of scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prm_evaluation.tuning.calibration import fit_logistic
from prm_evaluation.tuning.search import Parameter, get_setting, pattern_search, set_setting
from prm_proposals.settings import RetrievalSettings

LADDER = tuple(float(value) for value in range(12))
ALPHA, PRESENCE = Parameter("eq6.alpha", LADDER), Parameter("presence", LADDER)


def hill(peaks: dict[str, float]):
    """An objective with its maximum at ``peaks``, and the settings that it was asked for."""
    asked: list[RetrievalSettings] = []

    def objective(settings: RetrievalSettings) -> float:
        asked.append(settings)
        return -sum((get_setting(settings, path) - value) ** 2 for path, value in peaks.items())

    return objective, asked


def test_settings_are_changed_by_path_only():
    start = RetrievalSettings()
    changed = set_setting(set_setting(start, "eq6.alpha", 3.0), "presence", 4.0)
    assert (changed.eq6.alpha, changed.presence) == (3.0, 4.0)
    assert (
        set_setting(set_setting(changed, "eq6.alpha", start.eq6.alpha), "presence", start.presence) == start
    )


def test_the_search_climbs_to_the_top_and_asks_nothing_twice():
    objective, asked = hill({"eq6.alpha": 9.0, "presence": 0.0})
    found = pattern_search(RetrievalSettings(), [ALPHA, PRESENCE], objective, 100)
    assert (found.eq6.alpha, found.presence) == (9.0, 0.0)
    assert len(asked) == len({(s.eq6.alpha, s.presence) for s in asked})


def test_the_start_is_kept_where_nothing_is_better():
    start = set_setting(RetrievalSettings(), "eq6.alpha", 3.5)  # on no step of the ladder
    objective, _ = hill({"eq6.alpha": 3.5})
    assert pattern_search(start, [ALPHA], objective, 100) == start


def test_the_search_stops_at_its_budget_with_the_best_so_far():
    objective, asked = hill({"eq6.alpha": 11.0})
    found = pattern_search(RetrievalSettings(), [ALPHA], objective, 2)
    assert len(asked) == 2
    assert found == max(asked, key=lambda settings: -((settings.eq6.alpha - 11) ** 2))


def test_calibration_recovers_the_curve_that_made_the_matches():
    rng = np.random.default_rng(0)
    scores = rng.normal(8, 4, 20_000)
    matches = rng.random(20_000) < 1 / (1 + np.exp(-(scores - 9.0) / 2.5))
    offset, scale = fit_logistic(scores, matches)
    assert offset == pytest.approx(9.0, abs=0.2)
    assert scale == pytest.approx(2.5, abs=0.15)


def test_calibration_stays_finite_on_separable_scores():
    offset, scale = fit_logistic(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]))
    assert offset == pytest.approx(2.5, abs=0.1)
    assert 0 < scale < 1
    assert math.isfinite(offset)


@pytest.mark.parametrize(
    ("scores", "matches", "reason"),
    [
        ([1.0, 2.0], [True, True], "match and predictions"),
        ([1.0, 2.0], [False, False], "match and predictions"),
        ([], [], "match and predictions"),
        ([1.0, 2.0, 3.0, 4.0], [True, True, False, False], "rank nothing"),
    ],
)
def test_calibration_refuses_what_has_no_rising_curve(scores, matches, reason):
    with pytest.raises(ValueError, match=reason):
        fit_logistic(np.array(scores), np.array(matches, dtype=bool))
