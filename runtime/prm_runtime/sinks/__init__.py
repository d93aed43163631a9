"""Where results go: JSON lines, video, pictures, heat maps, a window."""

from __future__ import annotations

from prm_runtime.sinks.base import Result, Sink, SinkError
from prm_runtime.sinks.json_lines import JsonLines
from prm_runtime.sinks.pictures import Overlays, PrmHeatMaps
from prm_runtime.sinks.video import VideoFile
from prm_runtime.sinks.videos import VideoPerSource
from prm_runtime.sinks.window import Window

__all__ = [
    "JsonLines",
    "Overlays",
    "PrmHeatMaps",
    "Result",
    "Sink",
    "SinkError",
    "VideoFile",
    "VideoPerSource",
    "Window",
]
