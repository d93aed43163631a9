"""Resident memory of a process that embeds the segmenter, by peaks and by the size of frames.

``python -m benchmarks.memory [--frames 20] [--python PYTHON] [--json FILE]``

Each cell is a process of its own (``startup_worker.py``), as a program would be: it opens a bundle and
segments frames. Megabytes are resident after all frames and at most; the frames themselves are taken off.
``--python`` takes the interpreter of another installation, as ``benchmarks.startup`` does: numba imports
SciPy where it is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from benchmarks.clip import DEFAULT, exactly, spread_frames
from benchmarks.report import Report, Table, Target, command_line
from benchmarks.variant import backends_that_run

from prm_runtime.bundle import Bundle, shipped_bundle, with_manifest

WORKER = Path(__file__).with_name("startup_worker.py")
AS_SHIPPED, REACH_MB = "as shipped", 400
PEAKS, SIZES = (8, 32), (448, 1024)
Memory = dict[str, float]


def main(
    source: str = DEFAULT,
    frames: Annotated[int, typer.Option(help="Frames that each process segments.")] = 20,
    threads: int = 2,
    python: Annotated[str, typer.Option(help="The interpreter that is started.")] = sys.executable,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report as JSON.")] = None,
) -> None:
    """Start processes; prints megabytes."""
    backends = backends_that_run()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, np.stack(spread_frames(source, frames)))
        bundles = write_variants(Path(folder))
        found = {
            name: {backend: process(python, backend, bundle, threads, path) for backend in backends}
            for name, bundle in bundles.items()
        }
    Report(
        name="memory",
        command=command_line("memory", sys.argv[1:]),
        protocol=(
            f"voc20-lite0, {frames} frames of {source}, {threads} threads, one process per cell; MB resident "
            "after all frames (at most). Sizes are the network's long side."
        ),
        tables=[table(found, backends)],
        targets=[target(found[AS_SHIPPED][backend], backend) for backend in backends],
        data=found,
    ).finish(json_file)


def write_variants(folder: Path) -> dict[str, Path]:
    """The shipped bundle with other numbers of peaks and other sizes, by what differs."""
    shipped = Bundle.open(shipped_bundle())
    manifest, paths = shipped.manifest, {AS_SHIPPED: shipped.path}
    for size in SIZES:
        for peaks in PEAKS:
            changed = {
                "retrieval": exactly(manifest.retrieval, peaks),
                "preprocessing": manifest.preprocessing.model_copy(update={"size": size}),
            }
            name = f"{size} px, {peaks} peaks"
            paths[name] = folder / f"{size}-{peaks}.prm"
            with_manifest(shipped, manifest.model_copy(update=changed), paths[name])
    return paths


def process(python: str, backend: str, bundle: Path, threads: int, frames: Path) -> Memory:
    """Megabytes of a process, by moment."""
    command = [python, str(WORKER), backend, str(bundle), str(threads), str(frames)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    memory: Memory = json.loads(finished.stdout.splitlines()[-1])["memory"]
    return memory


def table(found: dict[str, dict[str, Memory]], backends: Sequence[str]) -> Table:
    """One row per variant."""
    rows = [
        [name, *(f"{memory[each]['all frames']:.0f} ({memory[each]['peak']:.0f})" for each in backends)]
        for name, memory in found.items()
    ]
    return Table("Resident memory, MB", ["", *backends], rows)


def target(memory: Memory, backend: str) -> Target:
    """Whether a process stays small."""
    megabytes = memory["all frames"]
    figure = f"resident memory, {backend}"
    return Target(figure, f"≤ {REACH_MB} MB", f"{megabytes:.0f} MB", megabytes <= REACH_MB)


if __name__ == "__main__":
    typer.run(main)
