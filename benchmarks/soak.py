"""Run for a long time on cameras that go wrong, and account for every frame.

    python -m benchmarks.soak --minutes 20

Three flaky cameras (:mod:`benchmarks.flaky_server`, processes of their own) feed the pipeline of ``prm-run``
with the shipped model, and the consumer of its results gets stuck for ten seconds now and then. At the end
every frame that a camera made is decoded or has a reason, every decoded frame is processed or counted as
dropped, every lost connection came back, memory did not grow after warm-up, and no thread is left. The exit
code is 1 if not.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from benchmarks.ledger import REASONS, UNEXPLAINED, account, read_ledger
from benchmarks.numbered import numbered_picture, read_number
from rich.console import Console
from rich.table import Table

import prm_runtime.blas  # noqa: F401 (must come before numpy)
from prm_runtime.pipeline import Summary, run_pipeline
from prm_runtime.report import latency_line
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sources import (
    Frame,
    Patience,
    Source,
    SourceOptions,
    SourceState,
    SourceStatus,
    open_source,
)

KINDS = ("ts", "mjpeg", "ts")
FPS = 10
STALL_AFTER_S = 2.0
STUCK_EVERY_S, STUCK_S = 120.0, 10.0
SAMPLE_EVERY_S = 5.0
WARM_UP = 0.2  # share of the run
MAX_SLOPE_MB_MIN = 1.0
IN_PIPELINE = 3  # frames that may be between the stages when a run is stopped
INSIDE = "between the stages at the end"


class Watched:
    """A live source that writes down the number of each frame that it decodes, and how often it was lost."""

    def __init__(self, source: Source) -> None:
        """Watch ``source``."""
        self._source = source
        self.numbers = array("l")
        self.damaged = 0
        self.lost = 0
        self.is_away = False
        source.keeper.listen(self._note)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the source's."""
        return getattr(self._source, name)

    def _note(self, status: SourceStatus) -> None:
        if status.state is SourceState.RETRYING and not self.is_away:
            self.lost += 1
        if status.state is not SourceState.ENDED:
            self.is_away = status.state is SourceState.RETRYING

    def __iter__(self) -> Iterator[Frame]:
        """The source's frames."""
        for frame in self._source:
            number = read_number(frame.image)
            if number is None:
                self.damaged += 1
            else:
                self.numbers.append(number)
            yield frame


@dataclass
class Consumer:
    """Counts results per source, and gets stuck now and then."""

    processed: dict[str, int] = field(default_factory=dict)
    stuck: int = 0
    next_stuck: float = field(default_factory=lambda: time.monotonic() + STUCK_EVERY_S)

    def write(self, result: Result) -> None:
        """Take a result."""
        name = result.frame.source
        self.processed[name] = self.processed.get(name, 0) + 1
        if time.monotonic() > self.next_stuck:
            time.sleep(STUCK_S)
            self.stuck += 1
            self.next_stuck = time.monotonic() + STUCK_EVERY_S

    def close(self) -> None:
        """Nothing is open."""


class Memory:
    """Samples of this process's resident memory."""

    def __init__(self) -> None:
        """Start with none."""
        self._process = psutil.Process()
        self._start = self._next = time.monotonic()
        self.minutes: list[float] = []
        self.megabytes: list[float] = []

    def sample(self) -> None:
        """Note the memory if it is time to."""
        now = time.monotonic()
        if now >= self._next:
            self.minutes.append((now - self._start) / 60)
            self.megabytes.append(self._process.memory_info().rss / 2**20)
            self._next = now + SAMPLE_EVERY_S

    def slope(self) -> float:
        """MB a minute after warm-up, by least squares; NaN where there are too few samples."""
        skip = int(len(self.minutes) * WARM_UP)
        if len(self.minutes) - skip < 3:
            return float("nan")
        return float(np.polyfit(self.minutes[skip:], self.megabytes[skip:], 1)[0])


@dataclass(frozen=True)
class Camera:
    """A flaky camera and what watches its stream."""

    name: str
    process: subprocess.Popen[str]
    ledger: Path
    source: Watched


def start_camera(n: int, kind: str, seconds: float, fault_every: float, folder: Path) -> Camera:
    """Start a camera's process and wait until it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ledger = folder / f"camera{n}.txt"
    options = {"fps": FPS, "seed": n, "seconds": seconds, "fault-every": fault_every}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks.flaky_server", kind, str(port), str(ledger), *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    next(iter(process.stdout or ()))
    uri = f"http://127.0.0.1:{port}/video" if kind == "mjpeg" else f"tcp://127.0.0.1:{port}"
    source = open_source(uri, SourceOptions(Patience(STALL_AFTER_S)))
    return Camera(f"camera {n} ({kind})", process, ledger, Watched(source))


def soak(
    cameras: Sequence[Camera], segmenter: Segmenter, seconds: float, memory: Memory
) -> tuple[Summary, Consumer]:
    """Run the pipeline for some time."""
    consumer, until = Consumer(), time.monotonic() + seconds

    def should_stop() -> bool:
        memory.sample()
        return time.monotonic() > until

    summary = run_pipeline(
        segmenter,
        [camera.source for camera in cameras],
        [consumer],
        should_stop=should_stop,
        on_result=lambda _: None,
    )
    return summary, consumer


def figures(camera: Camera, consumer: Consumer) -> dict[str, int]:
    """What became of a camera's frames."""
    status = camera.source.status
    entries, faults = read_ledger(camera.ledger)
    reasons = account(entries, set(camera.source.numbers))
    processed = consumer.processed.get(status.name, 0)
    return {
        "made by the camera": len(entries),
        **{reason: reasons[reason] for reason in REASONS},
        "decoded by the source": status.frames,
        "of these damaged": camera.source.damaged,
        "dropped for newer ones": status.dropped,
        "processed": processed,
        INSIDE: status.frames - status.dropped - processed,
        "corrupt ones skipped": status.skipped,
        "connections lost": camera.source.lost,
        "reconnects": status.reconnects,
        "away at the end": int(camera.source.is_away),
        **{f"fault: {name}": count for name, count in faults.items()},
    }


def complaints(camera: Camera, found: dict[str, int]) -> list[str]:
    """What must not be."""
    wrong = []
    if found[UNEXPLAINED]:
        wrong.append(f"{found[UNEXPLAINED]} frames were lost without a reason")
    if not 0 <= found[INSIDE] <= IN_PIPELINE:
        wrong.append(f"{found[INSIDE]} decoded frames were neither processed nor dropped")
    if found["connections lost"] - found["reconnects"] > camera.source.is_away:
        wrong.append(f"{found['connections lost']} connections lost, {found['reconnects']} came back")
    if error := camera.source.status.error:
        wrong.append(f"ended: {error}")
    if not found["processed"]:
        wrong.append("not one frame was processed")
    return [f"{camera.name}: {line}" for line in wrong]


def table_of(cameras: Sequence[Camera], found: Sequence[dict[str, int]], title: str) -> Table:
    """A column for each camera."""
    table = Table(title=title)
    table.add_column("frames")
    for camera in cameras:
        table.add_column(camera.name, justify="right")
    for name in dict.fromkeys(name for column in found for name in column):
        table.add_row(name, *(str(column.get(name, 0)) for column in found))
    return table


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--fault-every", type=float, default=15.0, metavar="SECONDS")
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    console, memory = Console(), Memory()
    segmenter = Segmenter.open()
    for _ in range(3):
        segmenter(numbered_picture(1, 240, 320))  # starts the engine's threads
    named, native = set(threading.enumerate()), psutil.Process().num_threads()
    with tempfile.TemporaryDirectory() as folder:
        cameras = [
            start_camera(n, kind, seconds + 30, arguments.fault_every, Path(folder))
            for n, kind in enumerate(KINDS)
        ]
        summary, consumer = soak(cameras, segmenter, seconds, memory)
        for camera in cameras:
            camera.process.wait(timeout=120)
        found = [figures(camera, consumer) for camera in cameras]
    left = sorted(thread.name for thread in set(threading.enumerate()) - named)
    native_after, slope = psutil.Process().num_threads(), memory.slope()
    wrong = [line for pair in zip(cameras, found, strict=True) for line in complaints(*pair)]
    wrong += summary.problems
    if not slope < MAX_SLOPE_MB_MIN:
        wrong.append(f"memory grows by {slope:.2f} MB/min")
    if left or native_after > native:
        wrong.append(f"threads are left: {native_after - native}, {', '.join(left)}")
    title = f"{arguments.minutes:g} min, a fault about every {arguments.fault_every:g} s"
    console.print(table_of(cameras, found, title))
    console.print(f"stuck consumer: {consumer.stuck} times {STUCK_S:g} s; failed frames: {summary.failed}")
    console.print(latency_line(summary.latency))
    console.print(
        f"memory: {memory.megabytes[0]:.0f} MB at the start, {memory.megabytes[-1]:.0f} MB at the end, "
        f"slope after warm-up {slope:+.2f} MB/min"
    )
    console.print(f"threads: {native} before, {native_after} after")
    for line in wrong or ["every loss is explained, every lost connection came back or was away at the end"]:
        console.print(line, style="bold red" if wrong else "bold green")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
