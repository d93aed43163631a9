"""What the graphs of bundles cost, the forward pass, and the reverse pass by peaks.

``python -m benchmarks.graphs [BUNDLE ...] [--backend onnxruntime] [--peaks 1,8,32] [--rounds 15]``

All graphs see the packaged photograph and take turns, so that a change of the machine's speed hits them
alike. Milliseconds are CPU time of this process (with --wall: of the clock); quote the ratios to the bare
forward, the part of the first bundle's ``forward.onnx`` that makes the class maps. The reverse pass is given
the best peaks of the peak table, repeated where there are fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import numpy as np
import onnx
import typer
from onnx.utils import Extractor
from rich.console import Console
from rich.table import Table

from prm_export.verify import packaged_picture
from prm_runtime.backends import Backend, create_backend
from prm_runtime.backends.base import GraphUse
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.preprocess import preprocess

WARM_UP = 2
ENGINES = ("onnxruntime", "openvino")
Runs = dict[str, Callable[[], object]]


def main(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Default: the shipped one.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Engines; default: both of CPUs.")] = None,
    peaks: str = "1,8,32",
    rounds: int = 15,
    threads: int = 1,
    wall: Annotated[bool, typer.Option("--wall", help="The clock's time instead of CPU time.")] = False,
) -> None:
    """Time the graphs of bundles; prints medians in milliseconds and ratios to the bare forward."""
    clock = perf_counter if wall else process_time
    opened = [Bundle.open(path) for path in bundles or [shipped_bundle()]]
    counts = [int(part) for part in peaks.split(",")]
    for kind in backend or ENGINES:
        engine = create_backend(kind, threads)
        runs: Runs = {"bare forward": bare_forward(opened[0], engine)}
        for bundle in opened:
            runs |= {
                f"{bundle.path.name}: {part}": run for part, run in parts(bundle, engine, counts).items()
            }
        times: dict[str, list[float]] = {part: [] for part in runs}
        for round_ in range(WARM_UP + rounds):
            for part, run in runs.items():
                start = clock()
                run()
                if round_ >= WARM_UP:
                    times[part].append(1000 * (clock() - start))
        of = "clock" if wall else "CPU"
        title = f"{engine.description}, {threads} threads, {of} ms, medians of {rounds} rounds"
        Console().print(_table({part: float(np.median(ms)) for part, ms in times.items()}, title))


def bare_forward(bundle: Bundle, engine: Backend) -> Callable[[], object]:
    """The classifier alone: class maps and nothing else."""
    forward = onnx.load_from_string(bundle.read(bundle.manifest.forward.file))
    bare = engine.compile(Extractor(forward).extract_model(["image"], ["class_maps"]).SerializeToString())
    image = preprocess(packaged_picture(), bundle.manifest.preprocessing)
    return lambda: bare.run({"image": image})


def parts(bundle: Bundle, engine: Backend, counts: list[int]) -> Runs:
    """The forward graph and the reverse graph for each number of peaks."""
    manifest = bundle.manifest
    handed = [spec.name for spec in manifest.backprop.inputs if spec.name != "peaks"]
    use = GraphUse.of(manifest, resident=frozenset(handed))
    forward = engine.compile(bundle.read(manifest.forward.file), use)
    reverse = engine.compile(bundle.read(manifest.backprop.file), use)
    image = preprocess(packaged_picture(), manifest.preprocessing)
    outputs = forward.run({"image": image})
    gains = {name: outputs[name] for name in handed}
    table = np.array(outputs["peaks"][0])
    table = table[table[:, 0] >= 0]

    def walk(count: int) -> Callable[[], object]:
        chosen = np.resize(table, (count, 3))
        return lambda: reverse.run({"peaks": chosen, **gains})

    return {"forward": lambda: forward.run({"image": image})} | {
        f"reverse, {count} peaks": walk(count) for count in counts
    }


def _table(medians: dict[str, float], title: str) -> Table:
    table = Table("graph", "ms", "/ bare forward", title=title)
    bare = medians["bare forward"]
    for part, ms in medians.items():
        table.add_row(part, f"{ms:.1f}", f"{ms / bare:.2f}")
    return table


if __name__ == "__main__":
    typer.run(main)
