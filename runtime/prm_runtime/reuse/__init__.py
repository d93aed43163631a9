"""What one frame of a video saves the next: proposals of still regions, and masks that follow the picture."""

from __future__ import annotations

from prm_runtime.reuse.analysis import Reuse
from prm_runtime.reuse.settings import ReuseSettings

__all__ = ["Reuse", "ReuseSettings"]
