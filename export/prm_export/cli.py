"""The ``prm-export`` command line; each command is a module of :mod:`prm_export.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from prm_export.commands.engines import engines
from prm_export.commands.export import export
from prm_export.commands.fit_shares import fit_shares_command
from prm_export.commands.inspect import inspect
from prm_export.commands.sign import keygen, sign
from prm_runtime.console import DefaultCommandGroup, print_version, run

HELP = (
    "Turn a checkpoint into a bundle: prm-export CHECKPOINT -o NAME.prm, see prm-export export --help; "
    "or look into one: prm-export inspect NAME.prm."
)

app = typer.Typer(cls=DefaultCommandGroup, no_args_is_help=True, help=HELP, pretty_exceptions_enable=False)
app.command()(export)
app.command()(inspect)
app.command("fit-shares")(fit_shares_command)
app.command()(engines)
app.command()(sign)
app.command()(keygen)


@app.callback(help=HELP)
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Entry point of ``prm-export``."""
    run(app)
