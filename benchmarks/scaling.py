"""How the time of a frame grows with peaks, proposals, size, batch, threads and streams.

``python -m benchmarks.scaling [--axis peaks --axis size ...] [--rounds 10] [--results FOLDER]``

Along each axis the values take turns on the same frames; everything else is as shipped, with exactly 8 peaks.
Batches run bundles that are made for them, exported from the shipped one. Streams are as many threads that
share one segmenter, each with frames of its own: what counts is the time per frame of all of them together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import prm_runtime.blas  # noqa: F401 (must come before numpy)

# isort: split
import typer
from benchmarks.clip import DEFAULT, Pictures, exactly, spread_frames
from benchmarks.exported import as_shipped, export_again
from benchmarks.machine import pin_threads
from benchmarks.report import Report, Table, Target, command_line
from benchmarks.timing import TOTAL, Run, Samples, disturbance_notes, interleave
from benchmarks.variant import backends_that_run, segmenter_of, segmenting

from prm_proposals.generator import ProposalGenerator
from prm_runtime.bundle import Bundle, shipped_bundle

PEAKS = 8
VALUES = {
    "peaks": (1, 2, 4, 8, 16, 32),
    "proposals": (250, 500, 1000, 2000, 4000),
    "size": (320, 448, 640, 1024),
    "batch": (1, 2, 4, 8),
    "threads": (1, 2),
    "streams": (1, 2, 4),
}
TARGETS = {"peaks": (8, 32, 1.3), "proposals": (500, 2000, 1.2)}
"""From which value to which the time may grow how much."""
NOTES = {
    "proposals": ["Fewer come where a frame has fewer candidates that do not overlap too much."],
    "threads": ["The threads of the engine; the rest of a frame has one either way."],
    "streams": ["So many callers share one segmenter: the time of a frame of all of them together."],
}
FRAMES_PER_STREAM = 2
Opener = Callable[[str, int], Run]
"""A run of a backend at a value of an axis."""


def main(
    axis: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    source: str = DEFAULT,
    rounds: Annotated[int, typer.Option(help="Frames that count.")] = 10,
    threads: Annotated[int, typer.Option(help="CPU threads, and most of the axis of threads.")] = 2,
    results: Annotated[Path | None, typer.Option(help="Also write a JSON file per axis there.")] = None,
) -> None:
    """Time frames along each axis; prints milliseconds a frame and ratios to the first value."""
    pin_threads(threads)
    bundle, pictures = Bundle.open(shipped_bundle()), spread_frames(source, rounds)
    backends = backends_that_run()
    with TemporaryDirectory() as folder:
        openers: dict[str, Opener] = {
            "peaks": partial(of_peaks, bundle, pictures, threads),
            "proposals": partial(of_proposals, bundle, pictures, threads),
            "size": partial(of_size, bundle, pictures, threads),
            "batch": partial(of_batch, Path(folder), pictures, threads),
            "threads": partial(of_threads, bundle, pictures),
            "streams": partial(of_streams, bundle, pictures, threads),
        }
        for name in axis or VALUES:
            samples = along(openers[name], name, backends, rounds, threads)
            Report(
                name=f"scaling-{name}",
                command=command_line("scaling", sys.argv[1:]),
                protocol=(
                    f"{bundle.manifest.name}, {len(pictures)} frames of {source}, {threads} threads, {PEAKS} "
                    "peaks unless they are what changes; median milliseconds a frame with quartiles, and the "
                    "median of the ratios to the first value, paired frame by frame. All values take turns."
                ),
                tables=[table(name, samples, backends)],
                targets=[growth(name, samples, backend) for backend in backends] if name in TARGETS else [],
                notes=[*NOTES.get(name, ()), *disturbance_notes(samples)],
                data=samples.as_json(),
            ).finish(results and results / f"scaling-{name}.json")


def along(opener: Opener, axis: str, backends: Sequence[str], rounds: int, threads: int) -> Samples:
    """All values of an axis in turn."""
    values = [value for value in VALUES[axis] if axis != "threads" or value <= threads]
    return interleave(
        {label(backend, value): opener(backend, value) for backend in backends for value in values},
        rounds,
        warm_up=2,
    )


def of_peaks(bundle: Bundle, pictures: Pictures, threads: int, backend: str, count: int) -> Run:
    """Exactly so many peaks."""
    settings = exactly(bundle.manifest.retrieval, count)
    return segmenting(segmenter_of(bundle, backend, threads, settings), pictures, count)


def of_proposals(bundle: Bundle, pictures: Pictures, threads: int, backend: str, count: int) -> Run:
    """At most so many proposals."""
    proposals = ProposalGenerator(replace(bundle.manifest.proposals, max_proposals=count))
    settings = exactly(bundle.manifest.retrieval, PEAKS)
    return segmenting(segmenter_of(bundle, backend, threads, settings, proposals), pictures, PEAKS)


def of_size(bundle: Bundle, pictures: Pictures, threads: int, backend: str, size: int) -> Run:
    """Frames brought to this long side."""
    preprocessing = bundle.manifest.preprocessing.model_copy(update={"size": size})
    manifest = bundle.manifest.model_copy(update={"preprocessing": preprocessing})
    return of_peaks(replace(bundle, manifest=manifest), pictures, threads, backend, PEAKS)


def of_batch(folder: Path, pictures: Pictures, threads: int, backend: str, batch: int) -> Run:
    """So many frames at a time; seconds are those of one."""
    path = folder / f"batch-{batch}.prm"
    bundle = Bundle.open(path) if path.exists() else export_again(path, as_shipped(batch=batch))
    settings = exactly(bundle.manifest.retrieval, PEAKS)
    segmenter = segmenter_of(bundle, backend, threads, settings)

    def run(number: int) -> dict[str, float]:
        some = [pictures[(number + n) % len(pictures)] for n in range(batch)]
        start = perf_counter()
        segmenter.many(some)
        return {TOTAL: (perf_counter() - start) / batch}

    return run


def of_threads(bundle: Bundle, pictures: Pictures, backend: str, threads: int) -> Run:
    """So many threads of the engine; the proposals have one either way."""
    return of_peaks(bundle, pictures, threads, backend, PEAKS)


def of_streams(bundle: Bundle, pictures: Pictures, threads: int, backend: str, streams: int) -> Run:
    """So many callers at once; seconds are those of a frame of any of them."""
    settings = exactly(bundle.manifest.retrieval, PEAKS)
    segmenter = segmenter_of(bundle, backend, threads, settings)
    pool = ThreadPoolExecutor(streams)

    def one_stream(first: int) -> None:
        for number in range(first, first + FRAMES_PER_STREAM):
            segmenter(pictures[number % len(pictures)])

    def run(number: int) -> dict[str, float]:
        start = perf_counter()
        list(pool.map(one_stream, range(number, number + streams)))
        return {TOTAL: (perf_counter() - start) / (streams * FRAMES_PER_STREAM)}

    return run


def label(backend: str, value: int) -> str:
    """Name of a variant."""
    return f"{backend}, {value}"


def table(axis: str, samples: Samples, backends: Sequence[str]) -> Table:
    """One row per value."""
    values = [value for value in VALUES[axis] if label(backends[0], value) in samples.ms]
    rows = []
    for value in values:
        cells = [str(value)]
        for backend in backends:
            ratio = samples.ratio(label(backend, value), label(backend, values[0])).median
            cells += [str(samples.of(label(backend, value))), f"{ratio:.2f}"]
        rows.append(cells)
    header = [axis, *(text for name in backends for text in (f"{name}, ms a frame", f"/ {values[0]} {axis}"))]
    return Table(f"Along {axis}", header, rows)


def growth(axis: str, samples: Samples, backend: str) -> Target:
    """Whether the time grows as little as it should."""
    low, high, limit = TARGETS[axis]
    ratio = samples.ratio(label(backend, high), label(backend, low))
    return Target(
        f"{high:,} {axis} against {low:,}, {backend}", f"≤ {limit} ×", f"{ratio} ×", ratio.median <= limit
    )


if __name__ == "__main__":
    typer.run(main)
