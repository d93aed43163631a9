"""Raw frames on standard input, as ``ffmpeg -f rawvideo`` and ``gst-launch ... fdsink`` write them."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic
from typing import Literal

import numpy as np

from prm_runtime.sources.base import Frame, TrackedSource
from prm_runtime.sources.errors import CodecError, SourceError
from prm_runtime.sources.status import SourceState

STDIN = "-"
PixelFormat = Literal["rgb24", "bgr24"]


@dataclass(frozen=True)
class RawFormat:
    """How raw frames lie in a pipe.

    Attributes:
        width: Pixels.
        height: Pixels.
        pixels: Order of the three bytes of a pixel.
    """

    width: int
    height: int
    pixels: PixelFormat = "rgb24"

    @classmethod
    def parse(cls, size: str, pixels: PixelFormat) -> RawFormat:
        """From a size such as ``640x480``.

        Raises:
            SourceError: If it is no such size.
        """
        width, _, height = size.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            raise SourceError(f"--stdin-size {size}: expected WIDTHxHEIGHT in pixels, such as 640x480")
        return cls(int(width), int(height), pixels)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.width * self.height * 3


class RawPipe(TrackedSource):
    """Frames out of a pipe, each of them: who writes too fast has to wait."""

    fps: Fraction | None = Fraction(30)  # nominal: frames have the times at which they came

    def __init__(self, layout: RawFormat, pipe: io.RawIOBase | None = None) -> None:
        """Read from ``pipe``, or standard input."""
        super().__init__(STDIN)
        self._layout = layout
        # Unbuffered: a thread that waits inside Python's buffer would hold its lock when the program ends.
        self._pipe = io.FileIO(sys.stdin.fileno(), closefd=False) if pipe is None else pipe

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the pipe is closed; a last one that is cut off is left out.

        Raises:
            CodecError: If not even one frame comes.
        """
        layout, index, start = self._layout, 0, None
        while len(content := self._read_frame()) == layout.frame_bytes:
            image = np.frombuffer(content, np.uint8).reshape(layout.height, layout.width, 3)
            if layout.pixels == "bgr24":
                image = np.ascontiguousarray(image[..., ::-1])
            captured = monotonic()
            start = captured if start is None else start
            self.keeper.enter(SourceState.RUNNING)
            self.keeper.count(frames=1)
            yield Frame(image, self.name, index, captured - start, captured)
            index += 1
        cut = (
            f"{len(content)} bytes where a frame of {layout.width} x {layout.height} has {layout.frame_bytes}"
        )
        if index == 0:
            raise CodecError(f"standard input: {cut}; see --stdin-size")
        if content:
            self.skip(f"standard input: ends with {cut}")

    def _read_frame(self) -> bytearray:
        """The bytes of a frame, fewer at the end of the pipe."""
        content = bytearray(self._layout.frame_bytes)
        filled = 0
        while filled < len(content) and (count := self._pipe.readinto(memoryview(content)[filled:])):
            filled += count
        return content[:filled]
