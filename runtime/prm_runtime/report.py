"""What ``prm-run`` tells people: findings, progress and stage times."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from prm_runtime.pipeline import Summary
from prm_runtime.sinks import Result
from prm_runtime.timing import STAGES, StageTimes


class FpsColumn(ProgressColumn):
    """Frames per second of the last seconds."""

    def render(self, task: Task) -> Text:
        """Render the rate."""
        return Text("" if task.speed is None else f"{task.speed:.1f} fps")


def progress_bar(console: Console) -> Progress:
    """A progress bar with frames, fps and remaining time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        FpsColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=sys.stdout.isatty(),  # a pipe must get what is printed, not the bar's console
    )


def findings(result: Result) -> str:
    """The instances of one frame in words, one line each."""
    instances = result.instances
    lines = [f"{result.frame.source}: {len(instances) or 'no'} instance{'' if len(instances) == 1 else 's'}"]
    for n, label in enumerate(instances.labels):
        x0, y0, x1, y1 = instances.boxes[n]
        share = 100 * instances.masks[n].mean()
        score = 100 * instances.scores[n]
        lines.append(f"  {label}  {score:.0f} %  x {x0}-{x1}, y {y0}-{y1}, {share:.1f} % of the picture")
    return "\n".join(lines)


def summary_line(summary: Summary) -> str:
    """Which labels were seen in how many frames."""
    seen = ", ".join(f"{label} in {count}" for label, count in summary.frames_with.most_common())
    return f"{summary.frames} frame{'' if summary.frames == 1 else 's'}: {seen or 'nothing found'}"


def stage_table(times: StageTimes, frames: int) -> Table:
    """Milliseconds per frame and share of each stage."""
    table = Table(title="time per frame", title_justify="left")
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    total = sum(times.seconds(stage) for stage in STAGES)
    for stage in STAGES:
        if times.count(stage):
            seconds = times.seconds(stage)
            table.add_row(escape(stage), f"{1000 * seconds / frames:.1f}", f"{100 * seconds / total:.0f} %")
    table.add_section()
    table.add_row("total", f"{1000 * total / frames:.1f}", f"{frames / total:.1f} fps")
    return table
