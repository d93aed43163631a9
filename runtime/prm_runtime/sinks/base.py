"""What every sink of results looks like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prm_proposals.retrieval import Evidence
from prm_runtime.draw import draw_instances
from prm_runtime.errors import PrmError
from prm_runtime.instances import Instances
from prm_runtime.sources.base import Frame
from prm_runtime.timing import StageTimes


class SinkError(PrmError):
    """A place that results cannot be written to, with what to do."""


@dataclass(frozen=True, eq=False)
class Result:
    """A frame, what was found in it, and the drawing of both, which sinks share.

    Attributes:
        frame: The frame.
        instances: What was found in it.
        times: Seconds per stage of the run.
        evidence: Class maps, peaks and PRMs of the frame, where they were kept.
    """

    frame: Frame
    instances: Instances
    times: StageTimes
    evidence: Evidence | None = None

    @cached_property
    def overlay(self) -> NDArray[np.uint8]:
        """The frame with its instances drawn, RGB, uint8 [H, W, 3]."""
        with self.times.stage("draw"):
            return draw_instances(self.frame.image, self.instances)


class Sink(Protocol):
    """Takes results one after the other."""

    def write(self, result: Result) -> None:
        """Take the result of the next frame."""
        ...

    def close(self) -> None:
        """Finish: after this the files are complete and valid."""
        ...
