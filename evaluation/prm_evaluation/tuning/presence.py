"""What each class's strength says about its presence: a logistic curve per class, from image-level labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.datasets import Sample
from prm_evaluation.tuning.calibration import fit_logistic
from prm_proposals.evidence import raw_strength
from prm_proposals.settings import RetrievalSettings
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture


def gather_strengths(
    segmenter: Segmenter, samples: Sequence[Sample], advance: Callable[[], None] = lambda: None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Run the forward graph on pictures.

    Args:
        segmenter: The model.
        samples: Pictures with their labels.
        advance: Called after each picture.

    Returns:
        ``(strengths, present)``: ``max M_c + s_c``, float32 [n, C], and whether the picture has the class's
        label, bool [n, C].
    """
    strengths, present = [], []
    for sample in samples:
        strengths.append(raw_strength(*segmenter.responses(read_picture(sample.image_path))))
        present.append([name in sample.labels for name in segmenter.classes])
        advance()
    return np.array(strengths, np.float32), np.array(present, bool)


def calibrate_classes(
    start: RetrievalSettings, strengths: NDArray[np.float32], present: NDArray[np.bool_]
) -> RetrievalSettings:
    """Settings whose class strength is the logit of the class's presence.

    A class whose pictures allow no fit of its own takes the curve of all classes together. Where there is
    none either, because every picture has every class, say, the settings stay as they are.

    Args:
        start: Settings to change.
        strengths: ``max M_c + s_c`` of each picture, float32 [n, C].
        present: Whether the class is in the picture, bool [n, C].
    """
    try:
        pooled = fit_logistic(strengths.ravel(), present.ravel())
    except ValueError:
        return start
    curves = []
    for column, labels in zip(strengths.T, present.T, strict=True):
        try:
            curves.append(fit_logistic(column, labels))
        except ValueError:
            curves.append(pooled)
    offsets, scales = np.round(curves, 4).T.tolist()
    return replace(
        start,
        presence_from="maps",
        presence=0.0,
        score_offset=0.0,
        score_scale=1.0,
        class_offsets=tuple(offsets),
        class_scales=tuple(scales),
    )
