"""Streams from the network, decoded by FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import av
from av.container import InputContainer
from av.error import FFmpegError

from prm_runtime.sources.base import Frame
from prm_runtime.sources.decoding import (
    SOFTWARE,
    frame_rate,
    open_container,
    sound_frames,
    typed_error,
    upright,
    video_stream,
)
from prm_runtime.sources.errors import LostError
from prm_runtime.sources.live import LiveSource, Patience, Reading
from prm_runtime.sources.uri import without_credentials
from prm_runtime.sources.video import Video

OPEN_TIMEOUT_S = 10.0
# TCP: what UDP loses, no decoder can mend.
# A short look at the stream, whose packets grow old meanwhile.
OPTIONS = {
    "flags": "low_delay",
    "rtsp_flags": "prefer_tcp",
    "analyzeduration": "200000",
    "fpsprobesize": "0",
}
ARRIVAL_S, CATCH_UP_S = 0.002, 0.5


class StreamConnection:
    """An open stream."""

    def __init__(self, name: str, container: InputContainer) -> None:
        """Take an open container.

        Raises:
            CodecError: If it holds no video.
        """
        self._name = name
        self._container = container
        self._stream = video_stream(container, name)
        # Decoding threads would hold back a frame each, and hide damage inside a frame from us.
        self._stream.thread_type, self._stream.codec_context.thread_count = "NONE", 1
        self._packets = container.demux(self._stream)
        self.fps = frame_rate(self._stream)
        self._catch_up_until = monotonic() + CATCH_UP_S

    def read(self) -> Reading:
        """Wait for the next packet and decode it.

        The first packets waited while the stream was looked at: until one had to be waited for, their frames
        are old and left out.

        Raises:
            LostError: If the stream ended or broke off.
        """
        start = monotonic()
        try:
            packet = next(self._packets)
        except StopIteration:
            raise LostError(f"{self._name}: the server ended the stream") from None
        except av.error.InvalidDataError:
            return Reading([], monotonic(), corrupt=1)
        except (FFmpegError, OSError) as error:
            raise LostError(str(typed_error(error, self._name, "broke off"))) from None
        captured = monotonic()
        if packet.size == 0:  # the end; what the decoder still holds is old
            return Reading([], captured)
        if packet.is_corrupt:
            return Reading([], captured, corrupt=1)
        try:
            frames = packet.decode()
        except (FFmpegError, OSError):
            return Reading([], captured, corrupt=1)
        if captured - start > ARRIVAL_S:
            self._catch_up_until = 0.0
        if captured < self._catch_up_until:
            return Reading([], captured)
        sound = sound_frames(frames)
        return Reading([upright(frame) for frame in sound], captured, len(frames) - len(sound))

    def close(self) -> None:
        """Hang up."""
        self._container.close()


class Stream(LiveSource):
    """What a URI leads to: a live stream, or a video on a server, which is read to its end as a file is."""

    def __init__(self, uri: str, patience: Patience, decoder: str = SOFTWARE) -> None:
        """Connect to nothing yet.

        Args:
            uri: ``rtsp://``, ``http://`` ..., maybe with user and password.
            patience: How long it is waited for.
            decoder: See :func:`~prm_runtime.sources.decoding.open_container`.
        """
        super().__init__(without_credentials(uri), self._dial, patience)
        self._uri = uri
        self._decoder = decoder
        self._waiting: InputContainer | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames: of a live stream until it is closed, of a video until its end.

        Raises:
            SourceError: If the source cannot be had, or did not come back in time.
        """
        container = self._with_retries(self._call)
        if container is None:
            return
        if container.duration is None:
            self._waiting = container
            yield from super().__iter__()
            return
        video = Video(self.name, container)
        self.is_live, self.fps, self.length = False, video.fps, video.length
        video.keeper, video.problems = self.keeper, self.problems
        yield from video

    def _dial(self) -> StreamConnection:
        container, self._waiting = self._waiting or self._call(), None
        return StreamConnection(self.name, container)

    def _call(self) -> InputContainer:
        timeout = (OPEN_TIMEOUT_S, self._patience.give_up_after_s)
        try:
            return open_container(self._uri, self._decoder, OPTIONS, timeout)
        except (FFmpegError, OSError) as error:
            raise typed_error(error, self.name, "cannot be reached") from None
