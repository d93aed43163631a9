"""Video files and network streams, decoded by FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from prm_runtime.sources.base import Frame, SourceError
from prm_runtime.sources.status import SourceState, SourceStatus, StatusKeeper
from prm_runtime.sources.uri import is_uri, without_credentials

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 10.0


class Video:
    """A video file or a stream (``rtsp://``, ``http://`` ...)."""

    def __init__(self, location: str) -> None:
        """Open the video.

        Raises:
            SourceError: If it is missing, damaged, not a video or cannot be reached. The message never holds
                the URI's credentials.
        """
        is_stream = is_uri(location)
        self.name = without_credentials(location) if is_stream else location
        if not is_stream and not Path(location).is_file():
            raise SourceError(f"{self.name}: no such file")
        try:
            self._container = av.open(
                location, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if is_stream else None
            )
        except (FFmpegError, OSError) as error:
            # FFmpeg's own message repeats the URI with its password: neither show nor chain it.
            reason = (error.strerror or type(error).__name__).lower()
            what = "cannot be reached" if is_stream else "cannot be read; it is damaged or not a video"
            raise SourceError(f"{self.name}: {what} ({reason})") from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{self.name}: holds no video track")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.fps: Fraction | None = self._stream.average_rate or self._stream.guessed_rate
        self.length: int | None = None if is_stream else self._expected_frames()
        self.problems: list[str] = []
        self._keeper = StatusKeeper(self.name)

    def _expected_frames(self) -> int | None:
        if self._stream.frames:
            return self._stream.frames
        if self._container.duration and self.fps:
            return round(self._container.duration / av.time_base * self.fps)
        return None

    @property
    def status(self) -> SourceStatus:
        """State and counts so far."""
        return self._keeper.status

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, turned upright; damaged parts are skipped.

        Raises:
            SourceError: If no frame can be decoded.
        """
        with self._container:
            index, start = 0, None
            for decoded in self._decode():
                # Containers without time stamps still have a rate.
                time = decoded.time if decoded.time is not None else float(index / (self.fps or 25))
                start = time if start is None else start
                self._keeper.enter(SourceState.RUNNING)
                self._keeper.count(frames=1)
                yield Frame(_upright(decoded), self.name, index, time - start)
                index += 1
        self._keeper.enter(SourceState.ENDED)
        if index == 0:
            raise SourceError(f"{self.name}: no frame could be decoded; the video is damaged")

    def _decode(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        position = 0
        while True:
            try:
                packet = next(packets)
                position += 1
                yield from packet.decode()
            except StopIteration:
                return
            except av.error.InvalidDataError:  # decoding threads report it some packets late
                self._keeper.count(skipped=1)
                self.problems.append(f"{self.name}: damaged near packet {position}")
            except (FFmpegError, OSError) as error:
                reason = (error.strerror or type(error).__name__).lower()
                self.problems.append(f"{self.name}: ended early ({reason})")
                return


def _upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """RGB, uint8 [H, W, 3], turned as the file's display matrix says (phones record sideways)."""
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)), dtype=np.uint8)
