"""The ``prm-run`` command line; each command is a module of :mod:`prm_runtime.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

import prm_runtime.blas  # noqa: F401 (must come before numpy)
from prm_runtime.commands.doctor import doctor
from prm_runtime.commands.recover import recover
from prm_runtime.commands.segment import segment
from prm_runtime.console import DefaultCommandGroup, print_version, run

app = typer.Typer(
    cls=DefaultCommandGroup,
    no_args_is_help=True,
    help="Find instances in pictures and video: prm-run SOURCE [OPTIONS], see prm-run segment --help.",
    pretty_exceptions_show_locals=False,  # a camera's URI holds its password
)
app.command()(segment)
app.command()(doctor)
app.command()(recover)


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find instances in pictures and video: prm-run SOURCE [OPTIONS], see prm-run segment --help."""


def main() -> None:
    """Entry point of ``prm-run``."""
    run(app)
