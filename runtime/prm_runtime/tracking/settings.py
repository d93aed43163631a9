"""Parameters of tracking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackSettings:
    """Parameters of :class:`~prm_runtime.tracking.tracks.Tracks`.

    Attributes:
        min_score: Smallest smoothed score of an instance that is reported. An instance scored lower than
            this can go on a track, but not begin one.
        memory_s: Seconds that a track waits for its object to come back.
        min_overlap: Smallest IoU of an instance with a track's mask, moved on to this frame, that makes it
            the same object by its place.
        likeness_in_place: Smallest likeness of colours that this takes besides: another object may have come.
        min_likeness: Smallest likeness of colours that makes an instance the same object wherever it is.
        likeness_weight: What likeness counts beside an IoU of 1.
        seniority_weight: What the length of a track counts beside an IoU of 1, ...
        senior_frames: ... which grows up to so many frames.
        smoothing: Share of the newest frame in a track's score and colours.
    """

    min_score: float = 0.2
    memory_s: float = 4.0
    min_overlap: float = 0.1
    likeness_in_place: float = 0.3
    min_likeness: float = 0.7
    likeness_weight: float = 0.5
    seniority_weight: float = 1.0
    senior_frames: int = 100
    smoothing: float = 0.25

    @property
    def detection_score(self) -> float:
        """Smallest score that the segmenter should return for tracking."""
        return self.min_score / 2
