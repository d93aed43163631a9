"""FFmpeg through PyAV: opening, decoding, and its errors in our words."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from prm_runtime.sources.errors import (
    CodecError,
    LostError,
    NotFoundError,
    RefusedError,
    SourceError,
    UnauthorisedError,
)

SOFTWARE, AUTOMATIC = "software", "auto"
USUAL_RATE = Fraction(25)  # where a stream does not tell

_KINDS: tuple[tuple[tuple[type[BaseException], ...], type[SourceError], str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.PermissionError),
        UnauthorisedError,
        "user or password missing or wrong, or no permission",
    ),
    ((av.error.HTTPNotFoundError, av.error.FileNotFoundError), NotFoundError, "not found"),
    ((av.error.ConnectionRefusedError,), RefusedError, "connection refused"),
    (
        (av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError, av.error.InvalidDataError),
        CodecError,
        "it is damaged or not a video",
    ),
    ((av.error.ProtocolNotFoundError,), CodecError, "FFmpeg knows no such protocol"),
    ((av.error.ExitError, av.error.TimeoutError), LostError, "no answer in time"),
)


def typed_error(error: Exception, name: str, what: str) -> SourceError:
    """FFmpeg's error as one of ours. Its own message repeats the URI with its password: it is not used.

    Args:
        error: Raised by PyAV.
        name: The source, without credentials.
        what: What failed, such as ``cannot be reached``.
    """
    for kinds, ours, reason in _KINDS:
        if isinstance(error, kinds):
            return ours(f"{name}: {what} ({reason})")
    strerror = error.strerror if isinstance(error, OSError) else None
    return LostError(f"{name}: {what} ({(strerror or type(error).__name__).lower()})")


def open_container(
    location: str,
    decoder: str,
    options: dict[str, str] | None = None,
    timeout: tuple[float, float] | None = None,
) -> InputContainer:
    """Open a file or URI.

    Args:
        location: Path or URI.
        decoder: ``software``, a kind of device that FFmpeg can decode on (``cuda``, ``vaapi`` ...), or
            ``auto`` for the first of them that this computer has.
        options: FFmpeg's options.
        timeout: Seconds that opening and each read may take.

    Raises:
        SourceError: If there is no such decoder.
        av.error.FFmpegError: If it cannot be opened.
    """
    if decoder not in {SOFTWARE, AUTOMATIC}:
        known = hwdevices_available()
        if decoder not in known:
            raise SourceError(
                f"--decoder {decoder}: expected {SOFTWARE}, {AUTOMATIC} or one of {', '.join(known)}"
            )
    kinds = {SOFTWARE: [], AUTOMATIC: hwdevices_available()}.get(decoder, [decoder])
    for kind in kinds:
        try:
            return av.open(location, options=options, timeout=timeout, hwaccel=_on(kind))
        except (NotImplementedError, RuntimeError, FFmpegError):
            continue
    return av.open(location, options=options, timeout=timeout)


def _on(kind: str) -> HWAccel:
    return HWAccel(kind, allow_software_fallback=True)


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The first video track.

    Raises:
        CodecError: If there is none.
    """
    if not container.streams.video:
        container.close()
        raise CodecError(f"{name}: holds no video track")
    return container.streams.video[0]


def frame_rate(stream: VideoStream) -> Fraction:
    """The announced rate; good enough for the time base of a file, never for deciding what to drop."""
    return stream.average_rate or stream.guessed_rate or USUAL_RATE


def sound_frames(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
    """Those that the decoder did not have to make up parts of."""
    return [frame for frame in frames if not frame.is_corrupt]


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """RGB, uint8 [H, W, 3], turned as the file's display matrix says (phones record sideways)."""
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)), dtype=np.uint8)
