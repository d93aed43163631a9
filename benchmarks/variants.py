"""What variants of a network cost and lose: share splitting, float16 and int8 beside fp32 with exact maps.

``python -m benchmarks.variants CHECKPOINT --data VOC2012 --calibrate FOLDER [--settings-from BUNDLE]
[--split val] [--limit N] [--work DIR] [--json FILE]``

All variants see the same pictures one after the other, with the same proposal and retrieval settings. Sizes
are those of the bundles (packed) and of their graphs (unpacked); MACs are those of a square picture of the
network's size, for ten peaks. The reverse graphs take turns on the same peaks of one picture, on one thread:
quote ratios of their CPU time. The bundles are left in ``--work``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from time import process_time
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from prm_export.assemble import Variant, assemble, refuse_failed
from prm_export.calibration import pictures_of
from prm_export.commands.source import checkpoint_material
from prm_export.comparison import FIGURES, Comparison, compare
from prm_export.contents import Contents, contents
from prm_export.material import Material, with_settings
from prm_export.precision import Precision
from prm_export.sizes import with_sizes
from prm_export.verify import packaged_picture
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, write_bundle
from prm_runtime.preprocess import preprocess

PEAKS, ROUNDS = 10, 5
REFERENCE = Variant(half_weights=False)
VARIANTS = {
    "float16 storage": Variant(),
    "shared at 8": Variant(half_weights=False, split_stride=8),
    "shared at 16": Variant(half_weights=False, split_stride=16),
    "fp16": Variant(precision=Precision.fp16),
    "int8": Variant(precision=Precision.int8),
}


def main(
    checkpoint: Path,
    data: Annotated[Path, typer.Option(help="VOC tree or COCO data set with masks.")],
    calibrate: Annotated[Path, typer.Option(help="Folder of pictures for int8.")],
    settings_from: Annotated[Path | None, typer.Option(help="Bundle with tuned settings.")] = None,
    split: str = "val",
    limit: Annotated[int | None, typer.Option(help="First N pictures only.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Variants to measure; default: all.")] = None,
    work: Annotated[Path | None, typer.Option(help="Where the bundles go.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Build, verify and measure every variant."""
    folder = work or Path(mkdtemp(prefix="variants"))
    material = checkpoint_material(checkpoint)
    material = with_settings(material, settings_from) if settings_from else material
    chosen = {name: VARIANTS[name] for name in only or VARIANTS}
    reference = _write(folder, "fp32, exact", material, REFERENCE, calibrate)
    paths = [_write(folder, name, material, variant, calibrate) for name, variant in chosen.items()]
    comparisons = compare(reference, paths, data, split, limit)
    bundles = [Bundle.open(path) for path in (reference, *paths)]
    rows = as_rows([contents(bundle) for bundle in bundles], comparisons)
    for row, ms in zip(rows, reverse_ms(bundles), strict=True):
        row |= ms
    names, protocol = ("fp32, exact", *chosen), comparisons[0].protocol
    print_table(names, rows, protocol)
    if json_file:
        variants = dict(zip(names, rows, strict=True))
        json_file.write_text(json.dumps({"protocol": protocol, "variants": variants}, indent=1))


def reverse_ms(bundles: Sequence[Bundle]) -> list[dict[str, float]]:
    """Median CPU milliseconds of each bundle's reverse graph for one peak and for ten."""
    backend, picture = create_backend("onnxruntime", 1), packaged_picture()
    runs = []
    for bundle in bundles:
        manifest = bundle.manifest
        image = preprocess(picture, manifest.preprocessing)
        outputs = backend.compile(bundle.read(manifest.forward.file)).run({"image": image})
        gains = {name: value for name, value in outputs.items() if name.startswith("gain_")}
        runs.append((backend.compile(bundle.read(manifest.backprop.file)), outputs["peaks"][0], gains))
    times: list[dict[str, list[float]]] = [{} for _ in bundles]
    for _ in range(ROUNDS):
        for (graph, peaks, gains), taken in zip(runs, times, strict=True):
            for count in (1, PEAKS):
                start = process_time()
                graph.run({"peaks": peaks[:count], **gains})
                key = f"reverse ms, {count} peak{'s' * (count > 1)}"
                taken.setdefault(key, []).append(1000 * (process_time() - start))
    return [{key: float(np.median(values)) for key, values in taken.items()} for taken in times]


def as_rows(inside: list[Contents], comparisons: list[Comparison]) -> list[dict[str, float]]:
    """Costs and figures of each bundle, the reference first."""
    rows = []
    for n, found in enumerate(inside):
        evaluations = comparisons[n - 1].found if n else comparisons[0].reference
        macs = sum((graph.macs or 0) + PEAKS * (graph.macs_per_peak or 0) for graph in found.graphs)
        row = {
            "bundle MB": found.bytes / 1e6,
            "graphs MB": sum(graph.bytes for graph in found.graphs) / 1e6,
            "GMACs": macs / 1e9,
        }
        for method, evaluation in evaluations.items():
            summary = evaluation.summary()
            row |= {f"{method} {figure}": summary[figure] for figure in FIGURES}
            row[f"{method} same masks"] = 100 * (comparisons[n - 1].same[method] if n else 1)
        rows.append({name: round(float(value), 3) for name, value in row.items()})
    return rows


def print_table(names: Sequence[str], rows: Sequence[dict[str, float]], protocol: str) -> None:
    """One column per variant, in percent where no unit is named."""
    table = Table("", *names, title=protocol, title_justify="left")
    for figure in rows[0]:
        table.add_row(figure, *(f"{row[figure]:.2f}" for row in rows))
    Console().print(table)


def _write(folder: Path, name: str, material: Material, variant: Variant, calibrate: Path) -> Path:
    sized = with_sizes(material.preprocessing, None, True, None)
    material = replace(material, preprocessing=sized)
    pictures = (
        pictures_of(calibrate, 100, f"--calibrate {calibrate}") if variant.precision is Precision.int8 else []
    )
    built = assemble(name, material, variant, packaged_picture(), pictures)
    for check in built.checks:
        typer.echo(f"{name}: {check.name}: {check.error:.3g} (tolerance {check.tolerance:.3g})")
    refuse_failed(built.checks)
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.prm"
    write_bundle(path, built.manifest, built.members)
    return path


if __name__ == "__main__":
    typer.run(main)
