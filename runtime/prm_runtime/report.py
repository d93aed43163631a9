"""What ``prm-run`` tells people: findings, progress and stage times."""

from __future__ import annotations

import sys
from collections.abc import Sequence

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

from prm_runtime.latency import Latency
from prm_runtime.pipeline import Summary
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sources import Source, SourceStatus
from prm_runtime.timing import STAGES, StageTimes

MAX_TOLD = 20  # problems of a source; a damaged stream can have thousands


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


def title(sources: Sequence[Source]) -> str:
    """What the progress bar is called."""
    return sources[0].name if len(sources) == 1 else f"{len(sources)} sources"


def total_frames(sources: Sequence[Source]) -> int | None:
    """Frames of all sources, None where one does not know."""
    lengths = [source.length for source in sources]
    return sum(length for length in lengths if length) if all(lengths) else None


def tell_state(console: Console, status: SourceStatus) -> None:
    """Say that a source is lost, or back."""
    if status.error is not None or status.reconnects:
        console.print(escape(status_line(status)), highlight=False, soft_wrap=True)


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


def stage_table(times: StageTimes, summary: Summary) -> Table:
    """Milliseconds per frame and share of each stage; stages overlap, so the run took less than their sum."""
    table = Table(title="time per frame", title_justify="left")
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    total = sum(times.seconds(stage) for stage in STAGES)
    frames = max(1, summary.frames)
    for stage in STAGES:
        if times.count(stage):
            seconds = times.seconds(stage)
            table.add_row(escape(stage), f"{1000 * seconds / frames:.1f}", f"{100 * seconds / total:.0f} %")
    table.add_section()
    table.add_row("sum", f"{1000 * total / frames:.1f}", "")
    if summary.elapsed_s:
        rate = f"{summary.frames / summary.elapsed_s:.1f} fps"
        table.add_row("elapsed", f"{1000 * summary.elapsed_s / frames:.1f}", rate)
    return table


def latency_line(latency: Latency) -> str:
    """How old live frames were when their results were out."""
    median, late = 1000 * latency.percentile_s(50), 1000 * latency.percentile_s(95)
    return f"latency: median {median:.0f} ms, 95 % below {late:.0f} ms, worst {1000 * latency.worst_s:.0f} ms"


def status_line(status: SourceStatus) -> str:
    """State and counts of a source in words."""
    counts = [f"{status.frames} frame{'' if status.frames == 1 else 's'}"]
    named = {"dropped": status.dropped, "skipped": status.skipped, "reconnects": status.reconnects}
    counts += [f"{count} {name}" for name, count in named.items() if count]
    reason = f" ({status.error})" if status.error else ""
    return f"{status.name}: {status.state}, {', '.join(counts)}{reason}"


def print_problems(console: Console, sources: Sequence[Source], summary: Summary) -> None:
    """Name what could not be read or written, each in a line."""
    for source in sources:
        told = source.problems[:MAX_TOLD]
        for problem in told:
            console.print("[yellow]skipped:[/]", escape(problem), highlight=False, soft_wrap=True)
        if (more := source.status.skipped - len(told)) > 0:
            console.print(f"[yellow]skipped:[/] {more} more", highlight=False)
    for problem in summary.problems:
        console.print("[bold red]failed:[/]", escape(problem), highlight=False, soft_wrap=True)


def print_summary(
    console: Console, segmenter: Segmenter, sources: Sequence[Source], summary: Summary
) -> None:
    """What was found, how sources fared where there is something to say, and where the time went."""
    print_problems(console, sources, summary)
    console.print(escape(summary_line(summary)), highlight=False, soft_wrap=True)
    for source in sources:
        if source.is_live or len(sources) > 1:
            console.print(escape(status_line(source.status)), highlight=False, soft_wrap=True)
    if len(summary.latency):
        console.print(latency_line(summary.latency), highlight=False)
    console.print(stage_table(segmenter.times, summary))
    console.print(escape(segmenter.backend.description), highlight=False)
