"""Where results go: files of many formats, data sets, recordings, a window, a function."""

from __future__ import annotations

from prm_runtime.sinks.base import Result, Sink, SinkError
from prm_runtime.sinks.callback import Callback
from prm_runtime.sinks.json_lines import JsonLines
from prm_runtime.sinks.open import LabelFormat, Outputs, open_sinks
from prm_runtime.sinks.pictures import Overlays, PrmHeatMaps
from prm_runtime.sinks.video import VideoFile
from prm_runtime.sinks.videos import VideoPerSource
from prm_runtime.sinks.window import Window

__all__ = [
    "Callback",
    "JsonLines",
    "LabelFormat",
    "Outputs",
    "Overlays",
    "PrmHeatMaps",
    "Result",
    "Sink",
    "SinkError",
    "VideoFile",
    "VideoPerSource",
    "Window",
    "open_sinks",
]
