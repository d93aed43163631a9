"""Quality of Peak Response Maps (Sec. 4.1 of the paper, "Quality of peak response maps")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics.average_precision import average_precision
from prm_evaluation.metrics.instances import InstancePrecision
from prm_proposals.maps import resample_mass

_MORE_THAN_HALF = float(np.nextafter(np.float32(0.5), np.float32(1)))


def energy_inside(
    prms: NDArray[np.float32], masks: NDArray[np.bool_], void: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Share of each PRM's energy that lies inside each mask: ``Σ R⊙G / Σ R``, float32 [P, G].

    Args:
        prms: float32 [P, h2, w2], each >= 0 and covering the whole picture; resampled to the masks' size.
        masks: bool [G, H, W].
        void: Pixels that neither sum counts, bool [H, W]; none if None.

    Returns:
        Values in 0..1; 0 for a PRM without energy.
    """
    height, width = masks.shape[1:]
    maps = resample_mass(prms, (height, width)).reshape(len(prms), height * width)
    if void is not None:
        maps[:, void.ravel()] = 0
    inside = maps @ masks.reshape(len(masks), height * width).T.astype(np.float32)
    total = maps.sum(axis=1, keepdims=True)
    shares = np.divide(inside, total, out=np.zeros_like(inside), where=total > 0)
    return np.asarray(np.minimum(shares, 1), dtype=np.float32)


class PrmQuality:
    """mAP of PRMs: one is a true positive if more than half of its energy lies in an object of its class.

    The paper defines what a true positive is but neither how PRMs are ranked nor what recall counts. Here
    they are ranked by the strength of their peak, and precision is averaged in two ways:

    - over PRMs, which is what the paper says to the word: every PRM above one half is a true positive, and
      recall counts the true positives that there are;
    - as for masks: a PRM goes to the object that holds most of its energy, each object counts once, further
      PRMs on it are false positives, and recall counts all objects of the data.
    """

    def __init__(self, num_classes: int) -> None:
        self._objects = np.zeros(num_classes, dtype=np.int64)
        self._claims = InstancePrecision(num_classes, (_MORE_THAN_HALF,))
        self._scores: list[list[NDArray[np.floating]]] = [[] for _ in range(num_classes)]
        self._hits: list[list[NDArray[np.bool_]]] = [[] for _ in range(num_classes)]

    def update(
        self,
        energy: NDArray[np.float32],
        scores: NDArray[np.floating],
        class_ids: NDArray[np.integer],
        truth_class_ids: NDArray[np.integer],
    ) -> None:
        """Add one picture.

        Args:
            energy: [P, G] of :func:`energy_inside`.
            scores: [P] strengths of the peaks.
            class_ids: [P] classes of the peaks.
            truth_class_ids: [G] classes of the objects.
        """
        self._claims.update(energy, scores, class_ids, truth_class_ids)
        self._objects += np.bincount(truth_class_ids, minlength=len(self._objects))
        hits = best_energy(energy, class_ids, truth_class_ids) > 0.5
        for class_id in np.unique(class_ids):
            mine = class_ids == class_id
            self._scores[class_id].append(scores[mine])
            self._hits[class_id].append(hits[mine])

    def over_objects(self) -> NDArray[np.float64]:
        """AP per class, [C], each object counting once; ``nan`` for classes without objects."""
        return self._claims.compute()[_MORE_THAN_HALF]

    def over_prms(self) -> NDArray[np.float64]:
        """AP per class, [C], every true positive counting; ``nan`` for classes without objects."""
        result = np.full(len(self._objects), np.nan)
        for class_id in np.flatnonzero(self._objects):
            hits = np.concatenate([np.empty(0, bool), *self._hits[class_id]])
            scores = np.concatenate([np.empty(0), *self._scores[class_id]])
            found = int(hits.sum())
            result[class_id] = average_precision(scores, hits, found) if found else 0.0
        return result


def best_energy(
    energy: NDArray[np.float32], class_ids: NDArray[np.integer], truth_class_ids: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The paper's score of each PRM, float32 [P]: the largest share of its energy in one object of its class.

    Args:
        energy: [P, G] of :func:`energy_inside`.
        class_ids: [P].
        truth_class_ids: [G].
    """
    same_class = class_ids[:, None] == truth_class_ids[None, :]
    return np.asarray(np.where(same_class, energy, 0).max(axis=1, initial=0), dtype=np.float32)
