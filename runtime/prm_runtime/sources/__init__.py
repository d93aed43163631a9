"""Where frames come from: pictures, folders, globs, video files, streams and cameras."""

from __future__ import annotations

from pathlib import Path

from prm_runtime.sources.base import Frame, Source, SourceError
from prm_runtime.sources.camera import Camera
from prm_runtime.sources.pictures import SUFFIXES, Pictures, from_folder, from_glob
from prm_runtime.sources.uri import is_uri
from prm_runtime.sources.video import Video

__all__ = ["Frame", "Source", "SourceError", "open_source"]


def open_source(location: str) -> Source:
    """Open a picture, folder, glob, video file, stream URI or camera index.

    Raises:
        SourceError: If there is no such source or it cannot be read.
    """
    path = Path(location)
    if is_uri(location):
        return Video(location)
    if path.is_dir():
        return from_folder(path)
    if path.is_file():
        return Pictures(location, [path]) if path.suffix.lower() in SUFFIXES else Video(location)
    if location.isdigit():
        return Camera(int(location))
    if any(character in location for character in "*?["):
        return from_glob(location)
    raise SourceError(
        f"{location}: no such file; expected a picture, folder, glob, video, camera number or stream URI"
    )
