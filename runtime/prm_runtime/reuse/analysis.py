"""From frames to instances, with what the frames before have left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prm_proposals.evidence import Evidence
from prm_runtime.instances import Instances
from prm_runtime.reuse.follow import Follower
from prm_runtime.reuse.settings import ReuseSettings
from prm_runtime.reuse.still import StillRegions
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import Frame


class Reuse:
    """Analyses frames one by one; what it keeps, it keeps for each source. Still pictures are on their own.

    Attributes:
        followed: Frames that the network did not run on.
    """

    def __init__(self, segmenter: Segmenter, settings: ReuseSettings) -> None:
        """Start with nothing kept."""
        self._segmenter = segmenter
        self._settings = settings
        self._regions: dict[str, StillRegions] = {}
        self._followers: dict[str, tuple[Follower, int]] = {}
        self.followed = 0

    @property
    def carried(self) -> int:
        """Frames with proposals of an earlier one."""
        return sum(regions.carried for regions in self._regions.values())

    def __call__(self, frames: Sequence[Frame]) -> Iterator[tuple[Instances, Evidence | None]]:
        """The instances of each frame, and their evidence where the network ran."""
        for frame in frames:
            followed = self._follow(frame)
            yield self._refreshed(frame) if followed is None else (followed, None)

    def _follow(self, frame: Frame) -> Instances | None:
        follower, followed = self._followers.get(frame.source, (None, 0))
        if follower is None or followed + 1 >= self._settings.refresh:
            return None
        with self._segmenter.times.stage("following"):
            instances = follower.follow(frame.image)
        if instances is not None:
            self._followers[frame.source] = follower, followed + 1
            self.followed += 1
        return instances

    def _refreshed(self, frame: Frame) -> tuple[Instances, Evidence]:
        moves = frame.time_s is not None
        regions = None
        if moves and self._settings.carry_proposals:
            regions = self._regions.setdefault(frame.source, StillRegions(self._settings))
        (evidence,) = self._segmenter.evidences(
            [frame.image], [frame.stem + frame.number], lean=True, regions=regions
        )
        instances = self._segmenter.retrieve(evidence, (frame.image.shape[0], frame.image.shape[1]))
        if moves and self._settings.refresh > 1:
            self._followers[frame.source] = Follower(frame.image, instances, self._settings), 0
        return instances, evidence
