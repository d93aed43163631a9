"""Plots of docs/performance.md (extra ``plots``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from benchmarks.report import Report

mpl.use("Agg")
from matplotlib import pyplot as plt

STAGES = ("forward", "back-propagation", "proposals", "retrieval")
VARIANTS = ("8 peaks", "as shipped", "no objects")
MEDIAN = 1
Ms = Mapping[str, Mapping[str, list[float]]]


def draw(reports: Mapping[str, Report], folder: Path) -> dict[str, Path]:
    """Draw what can be drawn; returns the pictures by the report that they belong to."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, report in reports.items():
        if name.startswith("frame"):
            found[name] = frame(report.data, folder / f"performance-{name}.png")
    axes = {name: report for name, report in reports.items() if name.startswith("scaling-")}
    if axes:
        found[next(iter(axes))] = scaling(axes, folder / "performance-scaling.png")
    return found


def frame(data: Mapping[str, Any], path: Path) -> Path:
    """Bars of our stages beside those of YOLO."""
    ms: Ms = data["turns"]["ms_25_50_75"]
    backends = [name.removesuffix(", bare forward") for name in ms if name.endswith(", bare forward")]
    figure, plot = plt.subplots(figsize=(8, 0.5 + 0.32 * len(ms)))
    names = []
    for backend in backends:
        yolo = [name for name in ms if name.startswith(f"{backend}, YOLO")]
        for name in (*(f"{backend}, {variant}" for variant in VARIANTS), *yolo, f"{backend}, bare forward"):
            _bar(plot, len(names), ms[name])
            names.append(name)
    plot.set_yticks(range(len(names)), names)
    plot.invert_yaxis()
    plot.set_xlabel("median milliseconds a frame")
    handles, labels = plot.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    plot.legend(unique.values(), unique.keys(), fontsize=8)
    return _save(figure, path)


def scaling(reports: Mapping[str, Report], path: Path) -> Path:
    """One small plot per axis."""
    columns = 3
    rows = -(-len(reports) // columns)
    figure, plots = plt.subplots(rows, columns, figsize=(9, 2.8 * rows), squeeze=False)
    for plot in plots.flat[len(reports) :]:
        plot.set_visible(False)
    for plot, (name, report) in zip(plots.flat, reports.items(), strict=False):
        lines: dict[str, list[tuple[int, float]]] = {}
        for variant, stages in report.data["ms_25_50_75"].items():
            backend, _, value = variant.rpartition(", ")
            lines.setdefault(backend, []).append((int(value), stages["total"][MEDIAN]))
        for backend, points in lines.items():
            plot.plot(*zip(*points, strict=True), marker="o", label=backend)
        plot.set_xscale("log", base=2)
        ticks = [value for value, _ in next(iter(lines.values()))]
        plot.set_xticks(ticks, [str(tick) for tick in ticks])
        plot.minorticks_off()
        plot.set_ylim(bottom=0)
        plot.set_title(name.removeprefix("scaling-"), fontsize=10)
    plots[0][0].legend(fontsize=8)
    plots[0][0].set_ylabel("ms a frame")
    return _save(figure, path)


def _bar(plot: Any, row: int, stages: Mapping[str, list[float]]) -> None:
    """The stages one behind the other, and what is left of the total."""
    left = 0.0
    for number, stage in enumerate(STAGES):
        if stage in stages:
            width = stages[stage][MEDIAN]
            plot.barh(row, width, left=left, color=f"C{number}", label=stage)
            left += width
    rest = max(0.0, stages["total"][MEDIAN] - left)
    plot.barh(row, rest, left=left, color="lightgrey", label="all, or the rest")


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path
