"""A video for each of several sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prm_runtime.sinks.base import Result
from prm_runtime.sinks.video import VideoFile
from prm_runtime.sources import Frame, Source
from prm_runtime.sources.uri import plain_name


class VideoPerSource:
    """Writes ``out_NAME.mp4`` for each of several sources; still pictures of all folders share one video.

    A file is made with its source's first frame, when the frame rate of a stream is known.
    """

    def __init__(self, path: str, sources: Sequence[Source]) -> None:
        """Write nothing yet."""
        self._path = Path(path)
        self._sources = {source.name: source for source in sources}
        self._files: dict[str, VideoFile] = {}

    def __str__(self) -> str:
        """What people call it."""
        return str(self._path)

    def write(self, result: Result) -> None:
        """Encode one overlay into its source's video."""
        key = "pictures" if result.frame.time_s is None else result.frame.source
        if key not in self._files:
            source = self._sources.get(key)
            path = self._path
            if len(self._sources) > 1:
                path = path.with_stem(f"{path.stem}_{self._plain(key, result.frame)}")
            self._files[key] = VideoFile(str(path), None if source is None else source.fps)
        self._files[key].write(result)

    def _plain(self, key: str, frame: Frame) -> str:
        """``clip`` for clip.mp4; the whole name where two of them would be the same."""
        stem = key if frame.time_s is None else frame.stem
        stems = [Path(name).stem for name in self._sources]
        return plain_name(key) if stems.count(stem) > 1 else plain_name(stem)

    def close(self) -> None:
        """Finish all videos."""
        for file in self._files.values():
            file.close()
