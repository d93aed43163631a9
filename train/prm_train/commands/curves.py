"""``prm-train curves``: draw losses and classification mAP of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders that prm-train --out wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write: .png, .svg or .pdf.")],
) -> None:
    """Draw the loss and the classification mAP after each epoch, one line a run.

    Needs matplotlib (pip install "prm-edge[plots]").

    Example: prm-train curves runs/peak runs/average -o curves.svg
    """
    from prm_evaluation.tables.plots import load_matplotlib
    from prm_runtime.console import PrmError
    from prm_train.curves import draw_curves, read_curves

    if out.suffix not in (".png", ".svg", ".pdf"):
        raise PrmError(f"{out} should end in .png, .svg or .pdf")
    read = [read_curves(run) for run in runs]
    figure = load_matplotlib().Figure(figsize=(10, 4), layout="constrained")
    draw_curves(read, figure)
    figure.savefig(out, dpi=120)
    typer.echo(f"wrote {out}")
