"""The engines that run here, graph by graph, and those that can only be built.

``python -m benchmarks.engines [--rounds 15] [--json FILE]``

Compiling is everything until a graph's first result at a size: OpenVINO compiles then. TensorRT-RTX builds
engines without a GPU, but runs none: what is printed of it is what building took.

What OpenVINO compiled in an earlier process it imports: with ``PRM_ENGINE_CACHE`` set to an empty folder it
compiles again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import prm_runtime.blas  # noqa: F401 (must come before numpy)

# isort: split
import typer
from benchmarks.clip import DEFAULT, spread_frames
from benchmarks.limits import bare_classifier
from benchmarks.machine import pin_threads
from benchmarks.report import Report, Table, command_line
from benchmarks.timing import Run, Samples, disturbance_notes, interleave, timed
from benchmarks.variant import backends_that_run

from prm_runtime.backends import GraphUse, create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import PrmError
from prm_runtime.engines.cache import EngineCache
from prm_runtime.engines.flavors import FLAVORS, load_flavor
from prm_runtime.engines.provide import provide_engine
from prm_runtime.preprocess import preprocess

PEAKS = 8
GRAPHS = ("bare forward", "forward graph", f"reverse graph, {PEAKS} peaks")


def main(
    source: str = DEFAULT,
    rounds: Annotated[int, typer.Option(help="Frames that count.")] = 15,
    threads: int = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report as JSON.")] = None,
) -> None:
    """Time graphs in each engine; prints tables."""
    pin_threads(threads)
    bundle, pictures = Bundle.open(shipped_bundle()), spread_frames(source, rounds)
    images = [preprocess(picture, bundle.manifest.preprocessing) for picture in pictures]
    backends = backends_that_run()
    runs: dict[str, Run] = {}
    compiled: dict[str, list[float]] = {}
    for name in backends:
        found, compiled[name] = graphs(bundle, name, threads, images)
        runs |= {f"{name}, {graph}": run for graph, run in zip(GRAPHS, found, strict=True)}
    samples = interleave(runs, rounds)
    built = builds(bundle)
    tables = [running(samples, compiled, backends)]
    if built:
        tables.append(Table("Built, never run here", ["engine", "graph", "seconds", "MB"], built))
    Report(
        name="engines",
        command=command_line("engines", sys.argv[1:]),
        protocol=(
            f"{bundle.manifest.name}, {len(pictures)} frames of {source}, {threads} threads, median "
            "milliseconds with quartiles; graphs alone, in turn. Compiling: once, to the first result."
        ),
        tables=tables,
        notes=disturbance_notes(samples),
        data={**samples.as_json(), "compile_ms": compiled},
    ).finish(json_file)


def graphs(
    bundle: Bundle, backend: str, threads: int, images: Sequence[object]
) -> tuple[list[Run], list[float]]:
    """The graphs of :data:`GRAPHS` in an engine, and the milliseconds that compiling each took."""
    manifest, engine = bundle.manifest, create_backend(backend, threads)
    gains = [spec.name for spec in manifest.backprop.inputs if spec.name != "peaks"]
    use = GraphUse.of(manifest, resident=frozenset(gains))
    took = []

    def first(model: bytes, inputs: dict[str, object]) -> tuple[object, dict[str, object]]:
        start = perf_counter()
        graph = engine.compile(model, use)
        outputs = graph.run(inputs)  # type: ignore[arg-type]
        took.append(1000 * (perf_counter() - start))
        return graph, outputs  # type: ignore[return-value]

    bare, _ = first(bare_classifier(bundle).SerializeToString(), {"image": images[0]})
    forward, outputs = first(bundle.read(manifest.forward.file), {"image": images[0]})
    given = {"peaks": outputs["peaks"][0][:PEAKS], **{name: outputs[name] for name in gains}}  # type: ignore[index]
    reverse, _ = first(bundle.read(manifest.backprop.file), given)
    runs = [
        timed(lambda n: bare.run({"image": images[n]})),  # type: ignore[attr-defined]
        timed(lambda n: forward.run({"image": images[n]})),  # type: ignore[attr-defined]
        timed(lambda _: reverse.run(given)),  # type: ignore[attr-defined]
    ]
    return runs, took


def running(samples: Samples, compiled: dict[str, list[float]], backends: Sequence[str]) -> Table:
    """Compiling and running, one row per graph."""
    rows = []
    for number, graph in enumerate(GRAPHS):
        cells = [graph]
        for name in backends:
            cells += [f"{compiled[name][number]:.0f}", str(samples.of(f"{name}, {graph}"))]
        rows.append(cells)
    header = ["graph"]
    for name in backends:
        header += [f"{name}, compiling, ms", f"{create_backend(name).description}, ms"]
    return Table("Engines", header, rows)


def builds(bundle: Bundle) -> list[list[str]]:
    """Seconds and megabytes of engines that are built without a GPU."""
    rows = []
    use = GraphUse.of(bundle.manifest)
    for name in FLAVORS:
        try:
            flavor = load_flavor(name)
            with TemporaryDirectory() as folder:
                for graph in (bundle.manifest.forward, bundle.manifest.backprop):
                    content, cache = bundle.read(graph.file), EngineCache(Path(folder))
                    provided = provide_engine(flavor, content, use, "portable", cache)
                    size = len(provided.engine.content) / 1e6
                    label = f"{flavor.name} {flavor.version}"
                    rows.append([label, graph.file, f"{provided.seconds or 0:.0f}", f"{size:.1f}"])
        except PrmError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return rows


if __name__ == "__main__":
    typer.run(main)
