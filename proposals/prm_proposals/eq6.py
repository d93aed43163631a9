"""Retrieval of segment proposals by Eq. 6 (Sec. 3.4), for all peaks and proposals at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prm_proposals.contour import contour_groups
from prm_proposals.evidence import Evidence, Retrieved
from prm_proposals.maps import resample_mass, superpixel_sums, upsample
from prm_proposals.nms import mask_nms
from prm_proposals.settings import Eq6Settings, RetrievalSettings


@dataclass(frozen=True)
class Eq6Terms:
    """The three terms of Eq. 6 of every peak and every proposal before they are weighed, float32 [P, N] each.

    Attributes:
        instance_aware: ``R∗S``, the share of the PRM inside the proposal.
        boundary_aware: ``R∗Ŝ``, the share of the PRM on its contour.
        class_aware: ``Q∗S`` as a share of the picture's area.
    """

    instance_aware: NDArray[np.float32]
    boundary_aware: NDArray[np.float32]
    class_aware: NDArray[np.float32]

    def scores(self, settings: Eq6Settings) -> NDArray[np.float32]:
        """``α R∗S + R∗Ŝ − β Q∗S``, float32 [P, N]."""
        scores: NDArray[np.float32] = (
            np.float32(settings.alpha) * self.instance_aware
            + np.float32(settings.boundary) * self.boundary_aware
            - np.float32(settings.beta) * self.class_aware
        )
        return scores


def eq6_terms(evidence: Evidence, settings: Eq6Settings, shift: float = 0.0) -> Eq6Terms:
    """The terms of Eq. 6, for all weights at once.

    R is a peak's PRM (mass 1), Ŝ the contour of the proposal S by morphological gradient, and Q the
    background: where the bilinear class map is below ``background_bias`` times its mean. The last term is
    divided by the picture's area, so that all three are shares of 1 and α and β carry over between sizes.

    On superpixels each term is a matrix product: PRM mass per superpixel with ``members``, PRM mass near the
    borders with the contours of the proposals, background per superpixel with ``members``.

    Args:
        evidence: One frame.
        settings: The background bias and the width of the contour.
        shift: ``RetrievalSettings.map_shift``.
    """
    gallery = evidence.gallery
    labels, members = gallery.labels, gallery.members
    if len(evidence.peaks) == 0 or len(gallery) == 0:
        nothing = np.zeros((len(evidence.peaks), len(gallery)), np.float32)
        return Eq6Terms(nothing, nothing, nothing)
    count = members.shape[1]
    inside = members.T.astype(np.float32)
    prms = resample_mass(evidence.prms, labels.shape)
    groups = contour_groups(labels, settings.contour_width)

    classes, which = np.unique(evidence.peaks[:, 0], return_inverse=True)
    maps = upsample(evidence.class_maps[classes], labels.shape, shift)
    background = maps < settings.background_bias * maps.mean(axis=(1, 2), keepdims=True)
    class_aware = (
        superpixel_sums(background.astype(np.float32), labels, count) @ inside / np.float32(labels.size)
    )
    return Eq6Terms(
        instance_aware=superpixel_sums(prms, labels, count) @ inside,
        boundary_aware=groups.mass(prms) @ groups.crossed(members),
        class_aware=class_aware[which],
    )


def eq6_scores(evidence: Evidence, settings: Eq6Settings, shift: float = 0.0) -> NDArray[np.float32]:
    """``α R∗S + R∗Ŝ − β Q∗S`` of every peak and every proposal, float32 [P, N]; see :func:`eq6_terms`."""
    return eq6_terms(evidence, settings, shift).scores(settings)


def top_proposals(
    evidence: Evidence, likeness: NDArray[np.float32], settings: RetrievalSettings
) -> Retrieved:
    """The last lines of Algorithm 1: each peak takes the proposal that is most like it, then mask NMS.

    Args:
        evidence: One frame.
        likeness: Score of every proposal for every peak, float32 [P, N].
        settings: Calibration of the scores and overlap of duplicates.

    Returns:
        Instances, best first, none without proposals; scores are those of :meth:`Evidence.peak_strength`.
    """
    gallery, classes = evidence.gallery, evidence.peaks[:, 0].astype(np.int64)
    if len(classes) == 0 or len(gallery) == 0:
        nothing = np.zeros(0, np.int64)
        empty = np.zeros((0, gallery.members.shape[1]), bool)
        return Retrieved(nothing, np.zeros(0, np.float32), nothing, empty, np.full(len(classes), -1))
    scores = evidence.peak_strength(settings)
    members = gallery.members[likeness.argmax(axis=1)]
    kept, owners = mask_nms(members, scores, classes, evidence.graph.sizes, settings.nms_iou)
    return Retrieved(classes[kept], scores[kept], kept, members[kept], owners)


class Eq6Retrieval:
    """Algorithm 1: each peak takes the proposal of the highest Eq. 6, then mask NMS within each class."""

    def __init__(self, settings: RetrievalSettings) -> None:
        """Keep the settings."""
        self.settings = settings

    def prepare(self, evidence: Evidence) -> Evidence:
        """The evidence: every term of Eq. 6 needs its Peak Response Maps, or little time."""
        return evidence

    def __call__(self, evidence: Evidence) -> Retrieved:
        """Instances of one frame, best first; scores are those of :meth:`Evidence.peak_strength`."""
        return top_proposals(
            evidence, eq6_scores(evidence, self.settings.eq6, self.settings.map_shift), self.settings
        )
