"""Training curves: losses and classification mAP of finished epochs, out of the logs of runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prm_runtime.console import PrmError

METRICS = ("loss", "classification_map")


@dataclass(frozen=True)
class Curves:
    """One run.

    Attributes:
        name: Of its folder.
        metrics: For each metric its value after each epoch, by the number of steps taken until then.
    """

    name: str
    metrics: Mapping[str, Mapping[int, float]]


def read_curves(run: Path) -> Curves:
    """Read the logs of a run, each resumption's after the one before.

    Args:
        run: Folder that ``prm-train --out`` wrote.

    Raises:
        PrmError: If it holds no log of a finished epoch.
    """
    metrics: dict[str, dict[int, float]] = {name: {} for name in METRICS}
    versions = (run / "csv").glob("version_*")
    for version in sorted(versions, key=lambda path: int(path.name.removeprefix("version_"))):
        if not (version / "metrics.csv").exists():
            continue
        with (version / "metrics.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name in METRICS:
                    if row.get(name):
                        metrics[name][int(row["step"])] = float(row[name])
    if not metrics["loss"]:
        raise PrmError(f"{run} holds no log of a finished epoch: give the folder of prm-train --out")
    return Curves(run.resolve().name, metrics)


def draw_curves(runs: Sequence[Curves], figure: Any) -> None:
    """Draw the losses of several runs, and beside them their classification mAP if any has one.

    Args:
        runs: The runs, one line each; epochs are counted from 1.
        figure: A figure of matplotlib, drawn into.
    """
    shown = [name for name in METRICS if any(run.metrics[name] for run in runs)]
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for run in runs:
            steps = sorted(run.metrics["loss"])
            epochs = [steps.index(step) + 1 for step in sorted(run.metrics[name])]
            axes.plot(epochs, [value for _, value in sorted(run.metrics[name].items())], ".-", label=run.name)
        axes.set_xlabel("epoch")
        axes.set_title(name.replace("_", " ").replace("map", "mAP"))
        axes.grid(alpha=0.3)
    axes.legend()
