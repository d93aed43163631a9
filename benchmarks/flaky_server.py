"""A camera that goes wrong in every way that cameras do, and writes down what it did to each frame.

Runs as a process of its own (``python -m benchmarks.flaky_server``), as cameras do. It listens on loopback
and sends numbered pictures to one client at a time: H.264 in MPEG-TS over TCP, or JPEGs in HTTP multipart.
Every few seconds comes a fault: frames withheld, a stall, corrupt packets, another resolution, a jump of the
clock, or a disconnection after which it refuses clients for a while.

The ledger has a line for each frame: number, fate, connection, whether it can be decoded by itself, and
whether the encoder was started again for it. Fates are ``sent``, ``corrupt``, ``withheld`` and ``away`` (no
client).
"""

from __future__ import annotations

import argparse
import io
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TextIO

import av
import cv2
from benchmarks.numbered import numbered_picture

SIZES = ((240, 320), (288, 384), (180, 240))
HTTP_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
FAULTS = ("withhold", "stall", "corrupt", "resolution", "clock", "disconnect")


class Encoder(Protocol):
    """Makes the bytes of a frame."""

    is_key: bool

    def encode(self, number: int, corrupt: random.Random | None) -> bytes:
        """Bytes of the next frame, damaged if ``corrupt`` is given."""
        ...


class Jpegs:
    """Parts of HTTP multipart."""

    is_key = True

    def __init__(self, size: tuple[int, int], _fps: int, _clock_s: int) -> None:
        """Send pictures of ``size``."""
        self._size = size

    def encode(self, number: int, corrupt: random.Random | None) -> bytes:
        """A part with a JPEG."""
        picture = numbered_picture(number, *self._size)
        content = cv2.imencode(".jpg", picture)[1].tobytes()
        if corrupt:
            content = damaged(content, corrupt)
        return (
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content)
            + content
            + b"\r\n"
        )


class TransportStream:
    """H.264 in MPEG-TS, a key frame every second."""

    def __init__(self, size: tuple[int, int], fps: int, clock_s: int) -> None:
        """Start an encoder and a multiplexer whose clock shows ``clock_s``."""
        self.is_key = True
        self._size = size
        self._pts = clock_s * fps
        self._buffer = io.BytesIO()
        self._container = av.open(self._buffer, "w", format="mpegts", options={"flush_packets": "1"})
        self._stream = self._container.add_stream("libx264", rate=fps)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"tune": "zerolatency", "preset": "ultrafast", "g": str(fps), "threads": "1"}
        self._stream.codec_context.time_base = Fraction(1, fps)

    def encode(self, number: int, corrupt: random.Random | None) -> bytes:
        """The TS packets of a frame."""
        frame = av.VideoFrame.from_ndarray(numbered_picture(number, *self._size), format="rgb24")
        frame.pts = self._pts
        self._pts += 1
        packets = self._stream.encode(frame)
        self.is_key = any(packet.is_keyframe for packet in packets)
        self._container.mux(packets)
        content = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return damaged(content, corrupt) if corrupt else content


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Some runs of bytes replaced, not the first ones, so that the container still knows its own."""
    damage = bytearray(content)
    for _ in range(4):
        start = chance.randrange(len(damage) // 4, len(damage))
        damage[start : start + 24] = chance.randbytes(len(damage[start : start + 24]))
    return bytes(damage)


@dataclass
class Plan:
    """What goes wrong, and when; all times are in frames.

    Attributes:
        chance: Where decisions come from.
        fps: Frames per second.
        every_s: Mean seconds between two faults.
    """

    chance: random.Random
    fps: int
    every_s: float
    withheld: int = 0
    corrupt: int = 0
    wait: int = 0
    restart: bool = False
    size: tuple[int, int] = SIZES[0]
    clock_s: int = 10
    disconnect: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))

    def step(self) -> None:
        """Decide about the next frame."""
        self.wait = self.wait or round(self.chance.uniform(0.5, 1.5) * self.every_s * self.fps)
        self.wait -= 1
        if self.wait:
            return
        fault = self.chance.choice(FAULTS)
        self.counts[fault] += 1
        if fault == "withhold":
            self.withheld = self.chance.randint(3, 15)
        elif fault == "stall":
            self.withheld = round(self.chance.uniform(2, 9) * self.fps)
        elif fault == "corrupt":
            self.corrupt = self.chance.randint(1, 3)
        elif fault == "resolution":
            self.size = self.chance.choice([size for size in SIZES if size != self.size])
            self.restart = True
        elif fault == "clock":
            self.clock_s = self.chance.randrange(10, 20_000)
            self.restart = True
        else:
            self.disconnect = True


def serve(kind: str, port: int, fps: int, plan: Plan, ledger: TextIO, until: float) -> None:
    """Listen, send and write the ledger until a moment of the monotonic clock."""
    make = Jpegs if kind == "mjpeg" else TransportStream
    moments = _moments(fps, until)
    number, connection, refuse_until = 0, 0, 0.0
    listener: socket.socket | None = None
    while time.monotonic() < until:
        if listener is None and time.monotonic() >= refuse_until:
            listener = socket.create_server(("127.0.0.1", port))
            print("ready", flush=True)
        client = _accept(listener)
        if client is None:
            number = next(moments, number)
            ledger.write(f"{number} away {connection} 0 0\n")
            continue
        connection += 1
        with client:
            try:
                if kind == "mjpeg":
                    client.recv(4096)
                    client.sendall(HTTP_HEAD)
                encoder: Encoder = make(plan.size, fps, plan.clock_s)
                starts = True
                for number in moments:
                    plan.step()
                    if plan.disconnect:
                        break
                    if plan.restart:
                        encoder, plan.restart = make(plan.size, fps, plan.clock_s), False
                        starts = True
                    if plan.withheld:
                        plan.withheld -= 1
                        ledger.write(f"{number} withheld {connection} 0 0\n")
                        continue
                    content = encoder.encode(number, plan.chance if plan.corrupt else None)
                    fate = "corrupt" if plan.corrupt else "sent"
                    plan.corrupt = max(0, plan.corrupt - 1)
                    ledger.write(f"{number} {fate} {connection} {int(encoder.is_key)} {int(starts)}\n")
                    starts = False
                    client.sendall(content)
            except OSError:
                pass  # the client hung up
        if plan.disconnect:
            plan.disconnect = False
            ledger.write(f"{number} withheld {connection} 0 0\n")
            refuse_until = time.monotonic() + plan.chance.uniform(0.5, 5)
            if listener is not None:
                listener.close()
                listener = None


def _moments(fps: int, until: float) -> Iterator[int]:
    """Numbers 0, 1 ... each at its time; those that were missed are skipped."""
    start, number = time.monotonic(), -1
    while time.monotonic() < until:
        due = max(number + 1, int((time.monotonic() - start) * fps))
        time.sleep(max(0.0, start + due / fps - time.monotonic()))
        number = due
        yield number


def _accept(listener: socket.socket | None) -> socket.socket | None:
    """A client that waits, None if there is none."""
    if listener is None:
        return None
    listener.settimeout(0.001)
    try:
        client, _ = listener.accept()
    except TimeoutError:
        return None
    client.settimeout(5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="A camera that goes wrong.")
    parser.add_argument("kind", choices=("ts", "mjpeg"))
    parser.add_argument("port", type=int)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fault-every", type=float, default=15.0, metavar="SECONDS")
    arguments = parser.parse_args()
    plan = Plan(random.Random(arguments.seed), arguments.fps, arguments.fault_every)  # noqa: S311
    with arguments.ledger.open("w", buffering=1) as ledger:
        until = time.monotonic() + arguments.seconds
        serve(arguments.kind, arguments.port, arguments.fps, plan, ledger, until)
        ledger.write("faults " + " ".join(f"{name}={count}" for name, count in plan.counts.items()) + "\n")


if __name__ == "__main__":
    main()
