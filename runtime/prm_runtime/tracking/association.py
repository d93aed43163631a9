"""How alike tracks and instances are: masks, colours and classes in place of ByteTrack's boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from trackers import BaseIoU, ByteTrackTracker
from trackers.utils.base_tracklet import BaseTracklet

from prm_runtime.tracking.appearance import likeness, mask_ious, moved
from prm_runtime.tracking.settings import TrackSettings

REFERENCE_RATE = 30.0  # frames per second that the tracker counts its buffer in

_TINY = 1e-6

Box = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Look:
    """What is known about an instance, or about a track from its instances.

    Attributes:
        class_id: Its class.
        score: Its score, smoothed over a track.
        mask: On the small grid, bool [h, w].
        box: (x0, y0, x1, y1) in pixels of that grid, float64 [4].
        colours: Histogram, float32 [bins], smoothed over a track.
        frames: Frames that it was found in.
    """

    class_id: int
    score: float
    mask: NDArray[np.bool_]
    box: Box
    colours: NDArray[np.float32]
    frames: int = 1


class Association(BaseIoU):
    """The similarity of tracks and instances, for ByteTrack, which hands over boxes and takes a matrix.

    It asks twice in a frame, for the well scored instances and then for the others, each time with the boxes
    of the tracks that have no instance yet.

    Attributes:
        tracker: The tracker that asks.
        tracks: What is known about each track.
        instances: The instances of the frame, no two with the same box.
    """

    def __init__(self, settings: TrackSettings) -> None:
        """Start with nothing known."""
        self._settings = settings
        self.tracker = ByteTrackTracker(
            lost_track_buffer=round(settings.memory_s * REFERENCE_RATE),
            frame_rate=REFERENCE_RATE,
            track_activation_threshold=settings.min_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=_TINY,  # similarity is 0 where it is too little
            high_conf_det_threshold=settings.min_score,
            iou=self,
        )
        self.tracks: Mapping[BaseTracklet, Look] = {}
        self.instances: Sequence[Look] = ()

    def _compute(self, boxes_1: NDArray[np.float64], boxes_2: NDArray[np.float64]) -> NDArray[np.float64]:
        waiting = [track for track in self.tracker.tracks if track.time_since_update > 0]
        rows = [np.abs(np.stack([look.box for look in self.instances]) - box).sum(axis=1) for box in boxes_2]
        instances = [self.instances[int(distances.argmin())] for distances in rows]
        return similarity([self.tracks[track] for track in waiting], boxes_1, instances, self._settings)


def similarity(
    tracks: Sequence[Look], predicted: Box, instances: Sequence[Look], settings: TrackSettings
) -> NDArray[np.float64]:
    """IoU of each instance's mask with each track's, moved to where its box is predicted, plus what their
    colours count and how long the track is; 0 between classes, and where neither place nor colours say that
    they are the same.

    The last term is the same for all instances: it only says which of several tracks goes on where there are
    fewer instances, as after an object was found in two parts.

    Args:
        tracks: What is known about n tracks.
        predicted: Their boxes in this frame, float64 [n, 4].
        instances: The m instances of this frame.
        settings: Thresholds and weights.

    Returns:
        float64 [n, m].
    """
    steps = [_centre(box) - _centre(track.box) for track, box in zip(tracks, predicted, strict=True)]
    masks = [moved(track.mask, *np.rint(step).astype(int)) for track, step in zip(tracks, steps, strict=True)]
    overlap = mask_ious(np.stack(masks), np.stack([instance.mask for instance in instances]))
    alike = likeness(
        np.stack([track.colours for track in tracks]), np.stack([instance.colours for instance in instances])
    )
    same_class = np.equal.outer(
        [track.class_id for track in tracks], [instance.class_id for instance in instances]
    )
    in_place = (overlap >= settings.min_overlap) & (alike >= settings.likeness_in_place)
    is_candidate = same_class & (in_place | (alike >= settings.min_likeness))
    length = np.array([min(track.frames / settings.senior_frames, 1) for track in tracks])[:, None]
    total = overlap + settings.likeness_weight * alike + settings.seniority_weight * length
    return np.where(is_candidate, total, 0.0).astype(np.float64)


def _centre(box: Box) -> NDArray[np.float64]:
    return np.asarray((box[:2] + box[2:]) / 2, dtype=np.float64)
