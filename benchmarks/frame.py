"""Time per frame of the shipped model, stage by stage and per backend, beside the bare classifier.

``python -m benchmarks.frame [--source demo/bikes.mp4] [--frames 60] [--threads 2] [--json FILE]``

All variants see the same frames and take turns frame by frame, so that a change of the machine's speed hits
them alike: quote the ratios. The bare forward is the part of ``forward.onnx`` that makes the class maps,
without peaks, gain maps or features, in the same engine.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from onnx.utils import Extractor
from rich.console import Console
from rich.table import Table

from prm_runtime.backends import BACKENDS, create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import PrmError
from prm_runtime.preprocess import preprocess
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import open_source
from prm_runtime.timing import STAGES

WARM_UP = 3


def main(
    source: str = "demo/bikes.mp4",
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    frames: Annotated[int, typer.Option(help="Frames that count, spread evenly over the first 250.")] = 60,
    threads: int = 2,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Time frames; prints a table of medians in milliseconds with quartiles."""
    bundle = Bundle.open(model or shipped_bundle())
    pictures = [frame.image for frame in islice(open_source(source), 250)]
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(frames, len(pictures))).astype(int)]
    backends = [name for name, info in BACKENDS.items() if not info.missing() and _runs(name)]
    stages = ("bare forward", *STAGES, "frame")
    results: dict[str, dict[str, list[float]]] = {name: {stage: [] for stage in stages} for name in backends}
    runners = {name: _runner(bundle, name, threads) for name in backends}
    for number, picture in enumerate([*chosen[:WARM_UP], *chosen]):
        for name, run in runners.items():
            for stage, seconds in run(picture).items():
                if number >= WARM_UP:
                    results[name][stage].append(1000 * seconds)
    figures = {
        name: {
            stage: np.percentile(ms, [25, 50, 75]).round(2).tolist() for stage, ms in by_stage.items() if ms
        }
        for name, by_stage in results.items()
    }
    Console().print(
        _table(figures, f"{bundle.manifest.name}, {len(chosen)} frames of {source}, {threads} threads")
    )
    if json_file:
        machine = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
        versions = {name: create_backend(name).description for name in backends}
        json_file.write_text(json.dumps({**machine, "versions": versions, "ms_25_50_75": figures}, indent=1))


def _runs(backend: str) -> bool:
    """Whether it is more than installed: TensorRT-RTX imports where there is no GPU."""
    try:
        create_backend(backend)
    except PrmError as error:
        print(f"{backend} is left out: {error}", file=sys.stderr)
        return False
    return True


def _runner(bundle: Bundle, backend: str, threads: int) -> Callable[[NDArray[np.uint8]], dict[str, float]]:
    engine = create_backend(backend, threads)
    segmenter = Segmenter(bundle, engine)
    forward = onnx.load_from_string(bundle.read(bundle.manifest.forward.file))
    bare = engine.compile(Extractor(forward).extract_model(["image"], ["class_maps"]).SerializeToString())

    def run(picture: NDArray[np.uint8]) -> dict[str, float]:
        image = preprocess(picture, bundle.manifest.preprocessing)
        start = perf_counter()
        bare.run({"image": image})
        seconds = {"bare forward": perf_counter() - start}
        before = {stage: segmenter.times.seconds(stage) for stage in STAGES}
        start = perf_counter()
        segmenter(picture)
        seconds["frame"] = perf_counter() - start
        spent = {stage: segmenter.times.seconds(stage) - before[stage] for stage in STAGES}
        return seconds | {stage: value for stage, value in spent.items() if value > 0}

    return run


def _table(figures: dict[str, dict[str, list[float]]], title: str) -> Table:
    table = Table("stage", *(f"{name} [ms]" for name in figures), title=title)
    for stage in ("bare forward", *STAGES, "frame"):
        cells = [figures[name].get(stage) for name in figures]
        if any(cells):
            table.add_row(stage, *(f"{c[1]:.1f}  ({c[0]:.1f} to {c[2]:.1f})" if c else "" for c in cells))
    ratios = [f"{f['frame'][1] / f['bare forward'][1]:.1f}" for f in figures.values()]
    table.add_row("frame / bare forward", *ratios, style="bold")
    return table


if __name__ == "__main__":
    typer.run(main)
