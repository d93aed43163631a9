"""The shipped model in float32, float16 and int8: megabytes, milliseconds, and how many masks stay the same.

``python -m benchmarks.precision [--rounds 10] [--json FILE]``

The bundles are exported from the shipped one; int8 is calibrated on frames of the clip itself. They take
turns in each engine on the same frames. A mask stays the same if the other bundle reports one of its class
that overlaps it by at least 0.95. What precision does to mAP needs a data set: ``benchmarks.variants``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import prm_runtime.blas  # noqa: F401 (must come before numpy)

# isort: split
import numpy as np
import typer
from benchmarks.clip import DEFAULT, Pictures, exactly, spread_frames
from benchmarks.exported import as_shipped, export_again
from benchmarks.machine import pin_threads
from benchmarks.report import Report, Table, command_line
from benchmarks.timing import Samples, disturbance_notes, interleave
from benchmarks.variant import backends_that_run, segmenter_of, segmenting

from prm_export.precision import Precision
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.instances import SHOWN, Instances
from prm_runtime.segmenter import Segmenter

PEAKS, SAME = 8, 0.95
REFERENCE = Precision.fp32


def main(
    source: str = DEFAULT,
    rounds: Annotated[int, typer.Option(help="Frames that count.")] = 10,
    threads: int = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report as JSON.")] = None,
) -> None:
    """Time the shipped model in each precision; prints a table."""
    pin_threads(threads)
    pictures, backends = spread_frames(source, rounds), backends_that_run()
    with TemporaryDirectory() as folder:
        bundles = {
            precision: export_again(
                Path(folder) / f"{precision}.prm", as_shipped(precision=precision), pictures
            )
            for precision in Precision
        }
        megabytes = {precision: bundle.path.stat().st_size / 1e6 for precision, bundle in bundles.items()}
        runs = {
            f"{backend}, {precision}": segmenting(
                segmenter_of(bundle, backend, threads, exactly(bundle.manifest.retrieval, PEAKS)),
                pictures,
            )
            for backend in backends
            for precision, bundle in bundles.items()
        }
        samples = interleave(runs, rounds, warm_up=2)
        same = {backend: same_masks(bundles, backend, threads, pictures) for backend in backends}
    Report(
        name="precision",
        command=command_line("precision", sys.argv[1:]),
        protocol=(
            f"voc20-lite0, {len(pictures)} frames of {source}, {threads} threads, {PEAKS} peaks, median "
            "milliseconds a frame with quartiles; ratios paired frame by frame. Same masks: share of "
            f"float32's masks from a score of {SHOWN} on that overlap one of the same class by {SAME}."
        ),
        tables=[table(samples, megabytes, same, backends)],
        notes=disturbance_notes(samples),
        data={**samples.as_json(), "megabytes": megabytes, "same_masks": same},
    ).finish(json_file)


def same_masks(
    bundles: dict[Precision, Bundle], backend: str, threads: int, pictures: Pictures
) -> dict[str, float]:
    """Share of float32's masks that each precision has too."""
    found: dict[Precision, list[Instances]] = {}
    for precision, bundle in bundles.items():
        segmenter = Segmenter(bundle, create_backend(backend, threads), min_score=SHOWN)
        found[precision] = [segmenter(picture) for picture in pictures]
    return {precision: agreement(found[REFERENCE], others) for precision, others in found.items()}


def agreement(reference: Sequence[Instances], other: Sequence[Instances]) -> float:
    """Share of the masks of some frames that another run has too."""
    same, total = 0, 0
    for ours, theirs in zip(reference, other, strict=True):
        for mask, class_id in zip(ours.masks, ours.class_ids, strict=True):
            alike = theirs.masks[theirs.class_ids == class_id]
            shared = (alike & mask).sum(axis=(1, 2))
            union = np.maximum((alike | mask).sum(axis=(1, 2)), 1)
            same += bool((shared >= SAME * union).any())
            total += 1
    return same / max(total, 1)


def table(
    samples: Samples,
    megabytes: dict[Precision, float],
    same: dict[str, dict[str, float]],
    backends: Sequence[str],
) -> Table:
    """One row per precision."""
    rows = []
    for precision in Precision:
        cells = [precision.value, f"{megabytes[precision]:.1f}"]
        for backend in backends:
            took = samples.of(f"{backend}, {precision}")
            ratio = samples.ratio(f"{backend}, {precision}", f"{backend}, {REFERENCE}")
            cells += [str(took), f"{ratio.median:.2f}", f"{100 * same[backend][precision]:.0f} %"]
        rows.append(cells)
    header = ["precision", "bundle, MB"]
    for backend in backends:
        header += [f"{backend}, ms", f"/ {REFERENCE}", "same masks"]
    return Table("Precision", header, rows)


if __name__ == "__main__":
    typer.run(main)
