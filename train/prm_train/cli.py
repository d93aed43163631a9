"""``prm-train``: train a classifier, and look at what it has learned."""

from __future__ import annotations

from typing import Annotated

import typer

from prm_runtime import console
from prm_train.commands.activation import activation
from prm_train.commands.curves import curves
from prm_train.commands.train import train

app = typer.Typer(
    cls=console.DefaultCommandGroup,
    help="Train classifiers from image-level labels, and look at what they have learned.\n\n"
    "'prm-train DATA …' is short for 'prm-train train DATA …'; 'prm-train train --help' has its options.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command()(activation)
app.command()(curves)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=console.print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run ``prm-train``."""
    console.run(app)
