"""What a run says while it runs, on standard error."""

from __future__ import annotations

from lightning_fabric import Fabric
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from prm_runtime.console import stderr


def progress_bar(*columns: ProgressColumn, enabled: bool) -> Progress:
    """A bar that vanishes when it is done, with further columns at its end; only where someone can watch."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *columns,
        console=stderr,
        disable=not (enabled and stderr.is_terminal),
        transient=True,
    )


def say(fabric: Fabric, text: str) -> None:
    """Print a line, once for all processes."""
    if fabric.is_global_zero:
        stderr.print(text, highlight=False, soft_wrap=True)
