"""``prm-eval tables BUNDLE...``: the paper's tables with our figures beside the paper's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from prm_evaluation.commands import options
from prm_evaluation.commands.progress import progress_bar
from prm_evaluation.ground_truth import first_samples, open_ground_truth, protocol
from prm_evaluation.tables.document import Document
from prm_evaluation.tables.paper import BASIS
from prm_evaluation.tables.plots import load_matplotlib, plot_figure_6
from prm_evaluation.tables.report import LEAST_WIDTH, all_tables, as_json, markdown, rich_table
from prm_evaluation.tables.tallies import COUNTED, measure
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError


def tables(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...",
            help="Bundles, .prm files; one for each aggregation that Tables 1, 2 and 5 compare. The first is "
            "the one whose proposals and classes are shown.",
            show_default=False,
        ),
    ],
    data: options.Data,
    split: options.Split = "val",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write all tables as JSON to FILE.", show_default=False),
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            help="Write all tables as Markdown to FILE; where it has the lines '<!-- figures -->' and "
            "'<!-- /figures -->', between them.",
            show_default=False,
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", help="Draw Fig. 6 into this folder; needs matplotlib.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE[,TABLE...]",
            help=f"Measure and print only these tables: {', '.join(COUNTED)}.",
            show_default=False,
        ),
    ] = None,
    limit: options.Limit = None,
    backend: options.Backend = "onnxruntime",
    processes: options.Processes = options.CORES,
    masks_note: options.MasksNote = None,
) -> None:
    """Print the paper's tables with our figures beside the paper's."""
    wanted = _wanted(only)
    options.check_writable(json_file, markdown_file, plots)
    document = Document.open(markdown_file) if markdown_file else None
    if plots is not None:
        load_matplotlib()  # missing, it should fail before the pictures are measured
    opened = [Bundle.open(bundle) for bundle in bundles]
    dataset = open_ground_truth(data, split, opened[0].manifest.classes)
    samples = first_samples(dataset, limit)
    with progress_bar(f"{len(opened)} bundles on {split}", len(samples)) as advance:
        measured = measure(opened, dataset, samples, backend, processes, advance, wanted)

    about = "; ".join(bundle.description for bundle in measured)
    basis = f"{protocol(dataset, split, len(samples), masks_note)}; {about}; {BASIS}"
    made = all_tables(measured, dataset.classes, wanted)
    console = Console(width=max(Console().width, LEAST_WIDTH))
    for table in made:
        console.print(rich_table(table))
    console.print(basis, highlight=False)
    if json_file is not None:
        report = as_json(made, basis, [bundle.name for bundle in bundles])
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    drawn = plot_figure_6(measured, plots) if plots is not None and "fig6" in wanted else []
    if document is not None:
        document.write(markdown(made, basis, {"fig6": [document.link(path) for path in drawn]}))


def _wanted(only: list[str] | None) -> tuple[str, ...]:
    """The tables that ``--only`` asks for, all of them without it.

    Raises:
        PrmError: If there is no such table.
    """
    names = [name.strip() for text in only or () for name in text.split(",")]
    unknown = [name for name in names if name not in COUNTED]
    if unknown:
        raise PrmError(f"--only: there is no table {unknown[0]!r}; choose among {', '.join(COUNTED)}")
    return tuple(names) or tuple(COUNTED)
