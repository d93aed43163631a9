"""What the page says about the run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """What the page says about the run.

    Attributes:
        model: Name of the bundle.
        min_score: Smallest score of the instances that are reported; the page can only filter above it.
        map_shift: ``RetrievalSettings.map_shift`` of the model.
    """

    model: str
    min_score: float = 0.0
    map_shift: float = 0.0
