"""H.264 video that plays in a browser."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from prm_runtime.sinks.base import Result, SinkError

PICTURES_PER_SECOND = Fraction(1)  # the rate of a video made from still pictures
TIME_BASE = Fraction(1, 90_000)  # every usual frame rate is a whole number of these

# One fragment a frame: a process that is killed leaves a file that plays up to the last one written.
CRASH_SAFE = {"movflags": "+frag_every_frame+empty_moov+delay_moov+default_base_moof"}


class VideoFile:
    """Writes overlays as H.264, yuv420p, with the source's time stamps.

    The first frame sets the size, rounded up to even sides as yuv420p needs them. Pictures of other sizes are
    scaled to fit inside it.
    """

    def __init__(self, path: str, fps: Fraction | None) -> None:
        """Open the file.

        Args:
            path: A file whose ending FFmpeg knows and takes H.264 in: ``.mp4``, ``.mov``, ``.mkv`` ...
            fps: Frames per second; None for still pictures, which then stand for a second each.

        Raises:
            SinkError: If the file ending is unknown or does not go with H.264.
        """
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        options = {"flush_packets": "1"} | (
            CRASH_SAFE if self._path.suffix.lower() in {".mp4", ".mov", ".m4v"} else {}
        )
        try:
            self._container = av.open(path, "w", options=options)
            self._rate = fps or PICTURES_PER_SECOND
            self._stream = self._container.add_stream("libx264", rate=self._rate)
        except (FFmpegError, ValueError) as error:
            raise SinkError(f"{path}: cannot write H.264 to this file ({error}); name it *.mp4") from None
        self._stream.pix_fmt = "yuv420p"
        # The network needs the processor more than the disk needs the space; quality is the same.
        self._stream.options = {"crf": "20", "preset": "ultrafast"}
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.time_base = TIME_BASE
        self._size: tuple[int, int] | None = None
        self._duration = round(1 / self._rate / TIME_BASE)
        self._next_time = 0
        self._whole, self._is_cut = 0, False

    def __str__(self) -> str:
        """What people call it."""
        return str(self._path)

    def write(self, result: Result) -> None:
        """Encode one overlay."""
        image = result.overlay
        if self._size is None:
            self._size = (image.shape[0] + image.shape[0] % 2, image.shape[1] + image.shape[1] % 2)
            self._stream.height, self._stream.width = self._size
        with result.times.stage("write"):
            frame = av.VideoFrame.from_ndarray(fit(image, self._size), format="rgb24")
            frame.pts, frame.time_base = self._time(result.frame.time_s), TIME_BASE
            frame.duration = self._duration
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[av.Packet[av.VideoStream]]) -> None:
        """Write packets, and remember how long the file is while it is whole."""
        if not packets:
            return  # the encoder looks ahead, and the file is made with the first packet
        try:
            self._container.mux(packets)
        except (FFmpegError, OSError):
            self._is_cut = True
            raise
        self._whole = self._path.stat().st_size

    def _time(self, time_s: float | None) -> int:
        """Time stamp of the next frame; a still picture or a clock that runs back follows the last frame."""
        time = self._next_time if time_s is None else max(round(time_s / TIME_BASE), self._next_time)
        self._next_time = time + (self._duration if time_s is None else 1)
        return time

    def close(self) -> None:
        """Encode what is still in the encoder and write the index that players seek by.

        After a failure what was written by halves is cut off, and the file plays up to there.
        """
        try:
            if self._size is not None and not self._is_cut:
                self._mux(self._stream.encode())
        finally:
            self._close_file()

    def _close_file(self) -> None:
        if not self._is_cut:
            self._container.close()
        else:
            with suppress(FFmpegError, OSError):  # the index, for which there is no room either
                self._container.close()
            os.truncate(self._path, self._whole)
        if self._size is None:
            self._path.unlink(missing_ok=True)  # a video without a frame plays nowhere


def fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit an image into ``size`` (height, width) without changing its aspect.

    A missing last row or column is repeated, so that an odd-sized frame keeps every pixel in place; anything
    else is scaled and centred on black.

    Args:
        image: RGB, uint8 [h, w, 3].
        size: (H, W).

    Returns:
        RGB, uint8 [H, W, 3].
    """
    (height, width), (h, w) = size, image.shape[:2]
    if (h, w) == size:
        return image
    if 0 <= height - h <= 1 and 0 <= width - w <= 1:
        return np.pad(image, ((0, height - h), (0, width - w), (0, 0)), mode="edge")
    scale = min(height / h, width / w)
    h, w = max(1, round(h * scale)), max(1, round(w * scale))
    top, left = (height - h) // 2, (width - w) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas
