"""The search for the retrieval settings of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from prm_evaluation.methods import METHODS, Method
from prm_evaluation.metrics import InstancePrecision
from prm_evaluation.tuning.calibration import fit_logistic
from prm_evaluation.tuning.gather import PRESENCE_SLACK
from prm_evaluation.tuning.search import Parameter, pattern_search
from prm_evaluation.tuning.trial import Figures, PictureResult, figures, open_trials
from prm_proposals.settings import RetrievalSettings
from prm_runtime.console import PrmError

MATCH_IOU = 0.5
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)


def parameters(method: Method, start: RetrievalSettings, *, mask_head: bool) -> list[Parameter]:
    """What the search may change, the most telling first; a mask head needs other priors of the walk."""
    slack = np.arange(-PRESENCE_SLACK, PRESENCE_SLACK + 0.5, 0.5)
    presences = tuple((start.presence + slack).tolist())
    shared = [
        Parameter("presence", presences),
        Parameter("peak_floor", (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)),
        Parameter("peak_ratio", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        # more would raise figures, and show people one object several times
        Parameter("nms_iou", (0.1, 0.2, 0.3, 0.4, 0.5)),
        Parameter("map_shift", (-0.5, -0.375, -0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5)),
    ]
    if method == "eq6":
        return [
            Parameter("eq6.alpha", WEIGHTS),
            Parameter("eq6.beta", WEIGHTS),
            Parameter("eq6.background_bias", (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)),
            *shared,
        ]
    if mask_head:
        priors = [Parameter("walk.background", tuple(np.arange(-1, 4.5, 0.5).tolist()))]
    else:
        priors = [
            Parameter("walk.foreground_level", (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)),
            Parameter("walk.foreground_scale", (0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.3)),
        ]
    return [
        *priors,
        Parameter("refine.tightness", (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0, 6.0)),
        Parameter("refine.agreement", (0.0, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 20.0, 30.0, 45.0)),
        Parameter("refine.area", (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)),
        Parameter("refine.rank", (0.0, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)),
        Parameter("walk.group_ratio", (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        Parameter("walk.peak_similarity", (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)),
        Parameter("walk.peak_distance", (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0)),
        *shared,
        Parameter(
            "walk.restart", (0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
        ),
        Parameter("walk.boundary_scale", (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)),
        Parameter("walk.lab_scale", (4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 30.0, 45.0, 70.0)),
    ]


@dataclass(frozen=True)
class MethodGain:
    """What the search did for one method, on superpixels.

    Attributes:
        before: Figures of the bundle's own settings on the pictures searched on.
        after: Figures of the settings found there.
        held_out_before: The same on the other half of the pictures.
        held_out_after: The same on the other half of the pictures: what of the gain is real.
    """

    before: Figures
    after: Figures
    held_out_before: Figures
    held_out_after: Figures


@dataclass(frozen=True)
class Tuned:
    """The outcome.

    Attributes:
        settings: What the bundle should use.
        gains: By method, what its settings gained.
        not_calibrated: Why the scores stayed as they were; None if they are calibrated.
    """

    settings: RetrievalSettings
    gains: dict[Method, MethodGain]
    not_calibrated: str | None


def tune(
    paths: Sequence[Path],
    num_classes: int,
    start: RetrievalSettings,
    max_evaluations: int,
    processes: int,
    advance: Callable[[], None] = lambda: None,
    *,
    mask_head: bool = False,
    methods: Sequence[Method] = METHODS,
) -> Tuned:
    """Search the settings on every other picture, and check them on the rest.

    All methods given are searched; the one with the highest mAP50 on the rest becomes the default and brings
    its thresholds. The others keep their own parameters as they were found. The scores are then calibrated on
    all pictures.

    Args:
        paths: Records of the pictures.
        num_classes: C.
        start: Settings to begin with.
        max_evaluations: Most candidates per method.
        processes: Worker processes.
        advance: Called after each candidate.
        mask_head: Whether the pictures' records hold what a mask head said.
        methods: The retrieval methods to search.

    Raises:
        PrmError: If there are fewer than two pictures.
    """
    if len(paths) < 2:
        raise PrmError(
            f"tuning needs at least two pictures, one to search on and one to check; found {len(paths)}"
        )
    starts = {method: replace(start, method=method) for method in methods}
    found: dict[Method, RetrievalSettings] = {}
    with open_trials(paths[::2], num_classes, processes) as trials:

        def objective(settings: RetrievalSettings) -> float:
            value = trials.figures(settings).objective
            advance()
            return value

        for method, first in starts.items():
            ladders = parameters(method, first, mask_head=mask_head)
            found[method] = pattern_search(first, ladders, objective, max_evaluations)
        before = {method: trials.figures(settings) for method, settings in starts.items()}
        searched = {method: trials.results(settings) for method, settings in found.items()}
    with open_trials(paths[1::2], num_classes, processes) as trials:
        held_out_before = {method: trials.figures(settings) for method, settings in starts.items()}
        held_out = {method: trials.results(settings) for method, settings in found.items()}
    gains = {
        method: MethodGain(
            before[method],
            figures(searched[method], num_classes),
            held_out_before[method],
            figures(held_out[method], num_classes),
        )
        for method in methods
    }
    # what was searched on flatters the method with more to search
    best: Method = max(methods, key=lambda method: gains[method].held_out_after.map50)
    settings = found[best]
    if len(found) > 1:
        settings = replace(settings, eq6=found["eq6"].eq6, walk=found["walk"].walk)
    results = searched[best] + held_out[best]
    try:
        return Tuned(calibrated(settings, results, num_classes), gains, None)
    except ValueError as error:
        return Tuned(settings, gains, str(error))


def calibrated(
    settings: RetrievalSettings, results: Sequence[PictureResult], num_classes: int
) -> RetrievalSettings:
    """Settings whose scores are the chance that an instance overlaps an object of its class by half.

    Raises:
        ValueError: If no rising curve fits the results.
    """
    precision = InstancePrecision(num_classes, [MATCH_IOU])
    for result in results:
        precision.update(result.iou, result.scores, result.class_ids, result.truth_class_ids)
    scores, matches = precision.predictions(range(num_classes))
    offset, scale = fit_logistic(scores, matches[:, 0])
    return replace(settings, score_offset=round(offset, 4), score_scale=round(scale, 4))
