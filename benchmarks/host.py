"""What the host does around the network, stage by stage, in this working tree and in another revision.

``python -m benchmarks.host [--against REV] [--source demo/bikes.mp4] [--frames 40] [--proposals 1000]``

Both sides are processes of their own that take turns frame by frame. Times are CPU milliseconds of the one
thread that does the work, which other work on the machine disturbs least: quote the ratios. The masks of both
sides are compared too. ``--profile`` lists the functions of this working tree instead, by cProfile.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from benchmarks.clip import spread_frames
from benchmarks.machine import machine
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from prm_runtime.segmenter import Segmenter

ROOT = Path(__file__).parents[1]
PACKAGES = ("proposals", "runtime")
WARM_UP = 2


def main(
    against: Annotated[str | None, typer.Option(help="A revision of git, or a working tree of one.")] = None,
    source: str = "demo/bikes.mp4",
    frames: Annotated[int, typer.Option(help="Frames, spread evenly over the first 250.")] = 40,
    proposals: Annotated[int, typer.Option(help="Most proposals of a frame.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="List functions instead.")] = False,
) -> None:
    """Print medians in CPU milliseconds with quartiles, and how alike the masks are."""
    pictures = spread_frames(source, frames)
    if profile:
        _profile(pictures)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.savez(folder / "frames.npz", *pictures)
        sides = {"this working tree": ROOT}
        if against is not None:
            is_tree = Path(against).is_dir()
            sides["before"] = (
                Path(against) if is_tree else stack.enter_context(_checkout(against, folder / "tree"))
            )
        spent = _take_turns(sides, folder, len(pictures), proposals)
        Console().print(_table(spent, f"{len(pictures)} frames of {source}, {proposals} proposals at most"))
        report = {"machine": machine(), "cpu_ms_25_50_75": spent}
        if against is not None:
            report["masks"] = _compare(*(folder / f"{n}.npz" for n in range(2)))
            print(json.dumps(report["masks"]))
    if json_file:
        json_file.write_text(json.dumps(report, indent=1))


@contextmanager
def _checkout(revision: str, path: Path) -> Iterator[Path]:
    """A revision's files in a folder of their own."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(path), revision], check=True)  # noqa: S603
    try:
        yield path
    finally:
        subprocess.run([*git, "remove", "--force", str(path)], check=True)  # noqa: S603


def _take_turns(
    sides: Mapping[str, Path], folder: Path, count: int, proposals: int
) -> dict[str, dict[str, list[float]]]:
    workers = {name: _start(root, folder, n, proposals) for n, (name, root) in enumerate(sides.items())}
    spent: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    for worker in workers.values():
        worker.stdout.readline()
    for turn, frame in enumerate([*range(WARM_UP), *range(count)]):
        for name, worker in workers.items():
            worker.stdin.write(f"{frame}\n")
            worker.stdin.flush()
            stages = json.loads(worker.stdout.readline())
            stages["all"] = sum(stages.values())
            if turn >= WARM_UP:
                for stage, ms in stages.items():
                    spent[name].setdefault(stage, []).append(ms)
    for worker in workers.values():
        worker.stdin.close()
        if worker.wait() != 0:
            raise SystemExit(f"a side ended with {worker.returncode}")
    return {
        name: {stage: np.percentile(ms, [25, 50, 75]).round(3).tolist() for stage, ms in by_stage.items()}
        for name, by_stage in spent.items()
    }


def _start(root: Path, folder: Path, number: int, proposals: int) -> subprocess.Popen[str]:
    """The worker with the packages of the revision at ``root``."""
    script = ROOT / "benchmarks/host_worker.py"
    paths = os.pathsep.join(str(root / package) for package in PACKAGES)
    return subprocess.Popen(  # noqa: S603
        [sys.executable, script, folder / "frames.npz", folder / f"{number}.npz", str(proposals)],
        env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _compare(ours: Path, theirs: Path) -> dict[str, float]:
    """Best overlap of each of their instances with one of ours of its class."""
    overlaps = []
    with np.load(ours) as a, np.load(theirs) as b:
        for name in (name for name in b.files if name.startswith("masks_")):
            frame = name.removeprefix("masks_")
            for mask, class_id in zip(b[name], b[f"classes_{frame}"], strict=True):
                alike = a[name][a[f"classes_{frame}"] == class_id]
                overlaps.append(max((float(_iou(mask, other)) for other in alike), default=0.0))
    found = np.array(overlaps)
    return {"instances": len(found), "same": float((found > 0.99).mean()), "mean IoU": float(found.mean())}


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _table(spent: dict[str, dict[str, list[float]]], title: str) -> Table:
    table = Table("stage", *(f"{name} [CPU ms]" for name in spent), title=title)
    if len(spent) == 2:
        table.add_column("times faster")
    for stage in next(iter(spent.values())):
        figures = [by_stage[stage] for by_stage in spent.values()]
        row = [f"{f[1]:.2f}  ({f[0]:.2f} to {f[2]:.2f})" for f in figures]
        row += [f"{figures[1][1] / figures[0][1]:.1f}"] if len(figures) == 2 else []
        table.add_row(stage, *row)
    return table


def _profile(pictures: list[NDArray[np.uint8]]) -> None:
    """Functions of the whole frame by their own time."""
    with Segmenter.open(threads=2) as segmenter:
        for picture in pictures[:WARM_UP]:
            segmenter(picture)
        with cProfile.Profile() as profile:
            for picture in pictures:
                segmenter(picture)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    typer.run(main)
