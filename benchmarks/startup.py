"""From nothing to the first mask: how long a new process takes, and how much memory it holds then.

``python -m benchmarks.startup [--model NAME.prm] [--rounds 10] [--threads 2] [--frames 30] [--json FILE]``

Every round starts one process per backend, in turns (``startup_worker.py``). The clock starts before the
process does, so that the interpreter's own start counts. The frames are in memory already: how long decoding
takes is the source's matter. Files were read before (warm page cache), numba's kernels are in its cache, and
what OpenVINO compiled for frames of that size is in the user's: the first run after an installation compiles
both, which takes about a minute and is not counted.

Where SciPy is installed, numba imports it. ``--python`` takes the interpreter of an installation without the
packages of the other extras.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated

import numpy as np
import typer
from benchmarks.report import Report, Table, Target, command_line
from benchmarks.timing import TOTAL, Run, Samples, interleave, spread
from numpy.typing import NDArray

from prm_runtime.backends import BACKENDS
from prm_runtime.bundle import shipped_bundle
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import open_source

ON_CPU = ("onnxruntime", "openvino")
PHASES = ("interpreter", "imports", "open", "first mask")
CPU = "CPU time"  # of all threads, to the first mask
START_UP = "start-up"  # imports and open: what a program waits for before its first frame
STAGES = ("imports", "open", "first mask", "all frames", "peak")
REACH_START_UP_S, REACH_FIRST_MASK_S, REACH_MB = 1.0, 1.5, 400
WORKER = Path(__file__).with_name("startup_worker.py")
Memory = dict[str, list[float]]


def main(
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    source: Annotated[str, typer.Option(help="Where the frames come from.")] = "demo/bikes.mp4",
    rounds: Annotated[int, typer.Option(min=1, help="Processes per backend that count.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the engine.")] = 2,
    frames: Annotated[int, typer.Option(min=1, help="Frames until memory counts as settled.")] = 30,
    python: Annotated[str, typer.Option(help="The interpreter that is started.")] = sys.executable,
    backend: Annotated[list[str] | None, typer.Option(help="Backends; default: those of the CPU.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
) -> None:
    """Start processes; prints seconds to the first mask and megabytes of resident memory."""
    bundle = model or shipped_bundle()
    backends = backend or [name for name in ON_CPU if not BACKENDS[name].missing()]
    memory: dict[str, Memory] = {name: {stage: [] for stage in STAGES} for name in backends}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, _frames(source, bundle, frames))
        worker = [python, str(WORKER)]
        runs = {
            name: _run([*worker, name, str(bundle), str(threads), str(path)], memory[name])
            for name in backends
        }
        samples = interleave(runs, rounds, warm_up=1)
    Report(
        "startup",
        command_line("startup", sys.argv[1:]),
        f"{rounds} processes per backend in turns, {frames} frames of {source}, {threads} threads; page "
        "cache, numba's cache and OpenVINO's warm; medians, with quartiles for totals",
        [_times(samples, backends), _memory(memory)],
        targets=[target for name in backends for target in _targets(name, samples, memory[name])],
        data={
            **samples.as_json(),
            "resident_mb_25_50_75": {
                name: {stage: spread(values).as_list() for stage, values in stages.items()}
                for name, stages in memory.items()
            },
        },
    ).finish(json_file)


def _frames(source: str, bundle: Path, count: int) -> NDArray[np.uint8]:
    """Frames of one size, the first of them with something on it."""
    pictures = [frame.image for frame in islice(open_source(source), 10 * count)]
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, count).astype(int)]
    with Segmenter.open(bundle, min_score=0.2) as segmenter:
        first = next((n for n, frame in enumerate(chosen) if len(segmenter(frame))), None)
    if first is None:
        raise SystemExit(f"nothing is found on {count} frames of {source}; take another source")
    return np.stack([*chosen[first:], *chosen[:first]])


def _run(command: Sequence[str], memory: Memory) -> Run:
    def run(_: int) -> dict[str, float]:
        start = monotonic()  # of the system: the worker reads the same clock
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        report = json.loads(output)
        if not report["found"]:
            raise SystemExit("the worker found nothing on a frame on which this process found something")
        for stage in STAGES:
            memory[stage].append(report["memory"][stage])
        moments = [start, *(report["marks"][phase] for phase in PHASES)]
        seconds = dict(zip(PHASES, (after - before for before, after in pairwise(moments)), strict=True))
        return seconds | {
            CPU: report["cpu"],
            START_UP: seconds["imports"] + seconds["open"],
            TOTAL: sum(seconds.values()),
        }

    return run


def _times(samples: Samples, backends: Sequence[str]) -> Table:
    rows = [
        [
            name,
            *(f"{samples.of(name, phase).median / 1000:.2f}" for phase in PHASES),
            *(_seconds(samples, name, stage) for stage in (START_UP, TOTAL, CPU)),
        ]
        for name in backends
    ]
    header = [
        "backend",
        *PHASES,
        "start-up (imports and open)",
        "process start to first mask",
        "CPU time until then",
    ]
    return Table("seconds per phase", header, rows)


def _seconds(samples: Samples, name: str, stage: str) -> str:
    q25, median, q75 = (value / 1000 for value in samples.of(name, stage).as_list())
    return f"{median:.2f} ({q25:.2f} to {q75:.2f})"


def _memory(memory: dict[str, Memory]) -> Table:
    rows = [
        [name, *(f"{spread(values).median:.0f}" for values in stages.values())]
        for name, stages in memory.items()
    ]
    return Table("resident MB after each, without the frames", ["backend", *STAGES], rows)


def _targets(name: str, samples: Samples, memory: Memory) -> list[Target]:
    figures = [
        ("start-up (imports and open)", samples.of(name, START_UP).median / 1000, REACH_START_UP_S, "s"),
        ("process start to first mask", samples.of(name).median / 1000, REACH_FIRST_MASK_S, "s"),
        ("resident memory after all frames", spread(memory["all frames"]).median, REACH_MB, "MB"),
    ]
    return [
        Target(f"{what}, {name}", f"≤ {reach:g} {unit}", f"{found:.3g} {unit}", found <= reach)
        for what, found, reach, unit in figures
    ]


if __name__ == "__main__":
    typer.run(main)
