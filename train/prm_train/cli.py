"""Entry point of ``prm-train``."""

from __future__ import annotations

import typer

from prm_runtime.console import run
from prm_train.commands.train import train

app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
app.command()(train)


def main() -> None:
    """Run ``prm-train``."""
    run(app)
