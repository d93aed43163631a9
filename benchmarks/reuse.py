"""What using things again from frame to frame saves in time, and what it costs in masks.

``python -m benchmarks.reuse [VIDEO ...] [--frames 60] [--threads 2]``

All ways see the same frames and take turns frame by frame, so that a change of the machine's speed hits them
alike: quote ratios. Times are without decoding, drawing and writing. Loss is against the segmenter on every
frame, which is no truth: the share of its instances of a score of at least 0.2 that a way lacks (no instance
of the class with an IoU of 0.5), the mean IoU of the others with their best counterpart, and the share of a
way's instances that have no counterpart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from prm_runtime.instances import Instances
from prm_runtime.reuse import Reuse, ReuseSettings
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import open_source
from prm_runtime.tracking.appearance import mask_ious, small_masks

WAYS = {
    "every frame": ReuseSettings(),
    "carry proposals": ReuseSettings(carry_proposals=True),
    "refresh 2": ReuseSettings(refresh=2),
    "refresh 4": ReuseSettings(refresh=4),
    "refresh 8": ReuseSettings(refresh=8),
    "refresh 4, carry proposals": ReuseSettings(refresh=4, carry_proposals=True),
}
MIN_SCORE, MATCH_IOU = 0.2, 0.5


@dataclass
class Tally:
    """What one way did on one video."""

    ms: list[float] = field(default_factory=list)
    wanted: int = 0
    ious: list[float] = field(default_factory=list)
    found: int = 0
    spare: int = 0

    def compare(self, instances: Instances, reference: Instances) -> None:
        """Count the instances of a frame against those of the segmenter."""
        overlaps = mask_ious(small_masks(reference.masks), small_masks(instances.masks))
        overlaps *= np.equal.outer(reference.class_ids, instances.class_ids)
        best = overlaps.max(axis=1, initial=0)
        self.wanted += len(reference)
        self.ious += best[best >= MATCH_IOU].tolist()
        self.found += len(instances)
        self.spare += int((overlaps.max(axis=0, initial=0) < MATCH_IOU).sum())


def main(
    videos: Annotated[list[str] | None, typer.Argument(metavar="[VIDEO]...")] = None,
    frames: Annotated[int, typer.Option(help="Frames from the beginning of each video.")] = 60,
    threads: int = 2,
) -> None:
    """Time the ways on videos; prints a table for each."""
    for video in videos or ["demo/bikes.mp4"]:
        segmenter = Segmenter.open(threads=threads, min_score=MIN_SCORE)
        ways = {name: Reuse(segmenter, settings) for name, settings in WAYS.items()}
        tallies = measure(video, frames, segmenter, ways)
        Console().print(_table(video, tallies, ways))


def measure(video: str, frames: int, segmenter: Segmenter, ways: dict[str, Reuse]) -> dict[str, Tally]:
    """Run all ways on the first frames of a video."""
    tallies = {name: Tally() for name in ways}
    for n, frame in enumerate(islice(open_source(video), frames)):
        if n == 0:
            segmenter(frame.image)  # compiles and warms up
        reference: Instances | None = None
        for name, way in ways.items():
            start = perf_counter()
            ((instances, _),) = way([frame])
            tallies[name].ms.append(1000 * (perf_counter() - start))
            reference = instances if reference is None else reference
            tallies[name].compare(instances, reference)
    return tallies


def _table(video: str, tallies: dict[str, Tally], ways: dict[str, Reuse]) -> Table:
    count = len(next(iter(tallies.values())).ms)
    header: Sequence[str] = (
        "way", "ms a frame", "of every frame", "followed", "carried", "lacks", "IoU of others", "spare"
    )  # fmt: skip
    table = Table(*header, title=f"{video}, {count} frames")
    base = float(np.mean(next(iter(tallies.values())).ms))
    for name, tally in tallies.items():
        mean = float(np.mean(tally.ms))
        table.add_row(
            name,
            f"{mean:.0f}",
            f"{100 * mean / base:.0f} %",
            f"{100 * ways[name].followed / count:.0f} %",
            f"{100 * ways[name].carried / count:.0f} %",
            f"{100 * (1 - len(tally.ious) / max(tally.wanted, 1)):.1f} %",
            f"{np.mean(tally.ious) if tally.ious else float('nan'):.3f}",
            f"{100 * tally.spare / max(tally.found, 1):.1f} %",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
