"""Where frames come from: pictures, folders, globs, videos, recordings, streams, cameras and pipes."""

from __future__ import annotations

from prm_runtime.sources.base import Frame, Source
from prm_runtime.sources.errors import SourceError
from prm_runtime.sources.live import Patience
from prm_runtime.sources.open import SourceOptions, open_source, open_sources
from prm_runtime.sources.status import SourceState, SourceStatus

__all__ = [
    "Frame",
    "Patience",
    "Source",
    "SourceError",
    "SourceOptions",
    "SourceState",
    "SourceStatus",
    "open_source",
    "open_sources",
]
