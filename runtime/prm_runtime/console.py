"""What every prm-edge command line shares: errors for people, ``--version`` and a default command.

The one module of the runtime that all other components may import.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from prm_runtime.errors import PrmError

__all__ = ["DefaultCommandGroup", "PrmError", "print_version", "run", "stderr"]

stderr = Console(stderr=True)


class DefaultCommandGroup(TyperGroup):
    """A command group that runs its first command when the first argument names none.

    ``prm-run clip.mp4`` means ``prm-run segment clip.mp4``; ``prm-run doctor`` stays a command of its own.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command's name before arguments that name no command."""
        group_options = {"--help", "--version", "--install-completion", "--show-completion"}
        if args and args[0] not in self.commands and args[0] not in group_options:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def print_version(requested: bool) -> None:
    """Typer callback of ``--version``."""
    if requested:
        typer.echo(f"prm-edge {version('prm-edge')}")
        raise typer.Exit


def run(app: typer.Typer) -> None:
    """Run a command line so that a user's mistake ends in one clear line and a non-zero exit code.

    ``--debug`` anywhere on the command line (or ``PRM_DEBUG=1``) shows the traceback instead.
    """
    debug = "--debug" in sys.argv or os.environ.get("PRM_DEBUG") == "1"
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except Exception as error:
        if debug:
            raise
        is_expected = isinstance(error, (PrmError, OSError))
        text = str(error) if is_expected else f"{type(error).__name__}: {error} (--debug shows where)"
        stderr.print("[bold red]error:[/]", escape(text), highlight=False, soft_wrap=True)
        sys.exit(1)
