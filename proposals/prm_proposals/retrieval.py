"""From peaks to instance masks: the choice between Eq. 6 and the random walk, behind one interface."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prm_proposals.eq6 import Eq6Retrieval
from prm_proposals.evidence import Evidence, Retrieval, Retrieved
from prm_proposals.refine import RefinedRetrieval
from prm_proposals.settings import RetrievalSettings
from prm_proposals.walk import WalkRetrieval

__all__ = ["Evidence", "Retrieval", "Retrieved", "create_retrieval", "probability"]


def create_retrieval(settings: RetrievalSettings) -> Retrieval:
    """The retrieval that ``settings.method`` names.

    Raises:
        ValueError: If there is no such method.
    """
    if settings.method == "eq6":
        return Eq6Retrieval(settings)
    if settings.method == "walk":
        return RefinedRetrieval(WalkRetrieval(settings), settings)
    raise ValueError(f'retrieval method must be "eq6" or "walk", got "{settings.method}"')


def probability(raw_scores: ArrayLike, settings: RetrievalSettings) -> NDArray[np.float32]:
    """Calibrated scores in (0, 1): the logistic function of ``(raw - score_offset) / score_scale``.

    Example:
        >>> float(probability([6.0], RetrievalSettings(score_offset=6.0))[0])
        0.5
    """
    raw = np.asarray(raw_scores, dtype=np.float64)
    # 80 logits: beyond it the exponential only over- or underflows, and the result is 0 or 1 in float32
    logits = np.clip((raw - settings.score_offset) / settings.score_scale, -80, 80)
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
