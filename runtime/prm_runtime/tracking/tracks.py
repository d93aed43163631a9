"""Tracks: ByteTrack on masks, one tracker per source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from supervision import Detections
from trackers.utils.base_tracklet import BaseTracklet

from prm_runtime.instances import Instances
from prm_runtime.sources import Frame
from prm_runtime.tracking.appearance import colour_histograms, small_masks
from prm_runtime.tracking.association import REFERENCE_RATE, Association, Look
from prm_runtime.tracking.settings import TrackSettings

_GAP_S = 1 / REFERENCE_RATE  # between two frames whose clock stands still or runs back
_APART = 1e-6  # pixels between boxes that would be equal


class Tracks:
    """Names the instances of each source by track and smooths their scores; a transform of the pipeline.

    An instance without a track, as any in its first frame, has -1. Ids are counted from 0 in each source.

    Example:
        >>> tracks = Tracks()
        >>> instances = tracks(frame, segmenter(frame.image))
        >>> instances.track_ids
        array([0, 1])
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        """Start without a track."""
        self._settings = settings or TrackSettings()
        self._sources: dict[str, _SourceTracks] = {}

    def __call__(self, frame: Frame, instances: Instances) -> Instances:
        """The instances with ``track_ids`` and smoothed scores, best first, less those scored too low."""
        if frame.time_s is None:  # pictures are no sequence
            return instances.select(instances.scores >= self._settings.min_score)
        source = self._sources.setdefault(frame.source, _SourceTracks(self._settings))
        return source.update(frame, instances)


class _SourceTracks:
    """The tracks of one source."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._association = Association(settings)
        self._looks: dict[BaseTracklet, Look] = {}
        self._last_s: float | None = None
        self._delay_s = 0.0
        self._tracker = self._association.tracker

    def update(self, frame: Frame, instances: Instances) -> Instances:
        """Track the instances of the next frame."""
        looks = _looks(frame, instances)
        self._association.tracks, self._association.instances = self._looks, looks
        boxes = np.array([look.box for look in looks]).reshape(-1, 4)
        named = self._tracker.update(
            Detections(boxes, confidence=instances.scores, data={"row": np.arange(len(looks))}),
            timestamp=self._clock(frame.time_s or 0.0),
        )
        ids = np.full(len(looks), -1, np.int64)
        if len(named):
            ids[named.data["row"]] = np.asarray(named.tracker_id)
        scores = self._learn(ids, looks)
        found = replace(instances, scores=scores, track_ids=ids)
        order = np.argsort(-scores, kind="stable")
        return found.select(order[scores[order] >= self._settings.min_score])

    def _clock(self, time_s: float) -> float:
        """Seconds that only go forward, also when a stream begins anew: others the tracker leaves out."""
        now = time_s + self._delay_s
        if self._last_s is not None and now <= self._last_s:
            self._delay_s += self._last_s + _GAP_S - now
            now = self._last_s + _GAP_S
        self._last_s = now
        return now

    def _learn(self, ids: NDArray[np.int64], looks: list[Look]) -> NDArray[np.float32]:
        """Take the instances into what is known about their tracks. Returns their smoothed scores."""
        rows = {int(track_id): row for row, track_id in enumerate(ids) if track_id >= 0}
        scores = np.array([look.score for look in looks], np.float32)
        known: dict[BaseTracklet, Look] = {}
        for track in self._tracker.tracks:
            before = self._looks.get(track)
            if before is not None and track.time_since_update > 0:
                known[track] = before
                continue
            if before is None:  # it begins with this frame, and has no id yet
                state = track.get_state_bbox()
                row = int(np.argmin([np.abs(look.box - state).sum() for look in looks]))
                known[track] = looks[row]
            else:
                row = rows[track.tracker_id]
                known[track] = _smoothed(before, looks[row], self._settings.smoothing)
            scores[row] = known[track].score
        self._looks = known
        return scores


def _smoothed(before: Look, now: Look, share: float) -> Look:
    return replace(
        now,
        frames=before.frames + 1,
        score=(1 - share) * before.score + share * now.score,
        colours=(1 - share) * before.colours + np.float32(share) * now.colours,
    )


def _looks(frame: Frame, instances: Instances) -> list[Look]:
    masks = small_masks(instances.masks)
    colours = colour_histograms(frame.image, masks)
    (height, width), (h, w) = instances.masks.shape[1:], masks.shape[1:]
    boxes = instances.boxes * np.array([w / width, h / height] * 2)
    boxes += np.arange(len(boxes))[:, None] * _APART  # a box names an instance: no two may be equal
    fields = zip(instances.class_ids, instances.scores, masks, boxes, colours, strict=True)
    return [
        Look(int(class_id), float(score), mask, box, histogram)
        for class_id, score, mask, box, histogram in fields
    ]
