"""``prm-eval``: measure a bundle, and tune its settings."""

from __future__ import annotations

from typing import Annotated

import typer

from prm_evaluation.commands.calibrate import calibrate
from prm_evaluation.commands.evaluate import evaluate
from prm_evaluation.commands.failures import failures
from prm_evaluation.commands.tables import tables
from prm_evaluation.commands.tune import tune
from prm_runtime import console

app = typer.Typer(
    cls=console.DefaultCommandGroup,
    help="Measure how well a bundle segments instances, and tune its settings.",
    no_args_is_help=True,
)
app.command()(evaluate)
app.command()(tune)
app.command()(calibrate)
app.command()(tables)
app.command()(failures)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=console.print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of ``prm-eval``."""
    console.run(app)
