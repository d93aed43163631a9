"""Video files: every frame, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import av
from av.container import InputContainer
from av.error import FFmpegError

from prm_runtime.sources.base import Frame, TrackedSource
from prm_runtime.sources.decoding import (
    SOFTWARE,
    frame_rate,
    open_container,
    sound_frames,
    typed_error,
    upright,
    video_stream,
)
from prm_runtime.sources.errors import CodecError, NotFoundError
from prm_runtime.sources.status import SourceState

THREADED = 1920 * 1088
"""Pixels from which on a frame is decoded in several threads: they take half as much CPU time again, which
the network needs, and smaller frames are decoded faster than they are segmented."""


class Video(TrackedSource):
    """A video that has an end: a file, or one on a server."""

    def __init__(self, name: str, container: InputContainer) -> None:
        """Take an open container.

        Raises:
            CodecError: If it holds no video.
        """
        super().__init__(name)
        self._container = container
        self._stream = video_stream(container, name)
        if self._stream.width * self._stream.height > THREADED:
            self._stream.thread_type = "AUTO"
        else:
            self._stream.thread_type, self._stream.codec_context.thread_count = "NONE", 1
        self.fps = frame_rate(self._stream)
        self.length = self._expected_frames()

    @classmethod
    def open(cls, path: str, decoder: str = SOFTWARE) -> Video:
        """Open a file.

        Raises:
            SourceError: If it is missing, damaged or not a video.
        """
        if not Path(path).is_file():
            raise NotFoundError(f"{path}: no such file")
        try:
            return cls(path, open_container(path, decoder))
        except (FFmpegError, OSError) as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise CodecError(f"{path}: cannot be read; it is damaged or not a video ({reason})") from None

    def _expected_frames(self) -> int | None:
        if self._stream.frames:
            return self._stream.frames
        if self._container.duration and self.fps:
            return round(self._container.duration / av.time_base * self.fps)
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, turned upright; damaged parts are skipped.

        Raises:
            CodecError: If no frame can be decoded.
        """
        index, start = 0, None
        with self._container:
            for decoded in self._decode():
                captured = monotonic()
                # Containers without time stamps still have a rate.
                time = decoded.time if decoded.time is not None else float(index / (self.fps or 1))
                start = time if start is None else start
                self.keeper.enter(SourceState.RUNNING)
                self.keeper.count(frames=1)
                yield Frame(upright(decoded), self.name, index, time - start, captured)
                index += 1
        if index == 0:
            raise CodecError(f"{self.name}: no frame could be decoded; the video is damaged")

    def _decode(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        position = 0
        while self.keeper.status.state is not SourceState.ENDED:
            try:
                packet = next(packets)
                position += 1
                frames = packet.decode()
            except StopIteration:
                return
            except av.error.InvalidDataError:  # decoding threads report it some packets late
                self.skip(f"{self.name}: damaged near packet {position}")
                continue
            except (FFmpegError, OSError) as error:
                self.skip(str(typed_error(error, self.name, "ended early")))
                return
            sound = sound_frames(frames)
            if len(sound) < len(frames):
                self.skip(f"{self.name}: damaged near packet {position}", len(frames) - len(sound))
            yield from sound
