"""``prm-eval BUNDLE``: measure a bundle on a data set with instance masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from prm_evaluation.commands import options
from prm_evaluation.commands.progress import progress_bar
from prm_evaluation.evaluate import evaluate as measure
from prm_evaluation.ground_truth import first_samples, open_ground_truth, protocol
from prm_evaluation.methods import chosen_methods, open_segmenters
from prm_evaluation.reports import as_json, class_table, coco_table, summary_table
from prm_runtime.bundle import Bundle


def evaluate(
    bundle: options.Bundle,
    data: options.Data,
    split: options.Split = "val",
    retrieval: Annotated[
        Literal["eq6", "walk", "both"],
        typer.Option("--retrieval", help="Retrieval method, or both side by side."),
    ] = "both",
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write all figures as JSON to FILE, or to stdout with '-'.", show_default=False
        ),
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Print a table per class as well.")] = False,
    limit: options.Limit = None,
    backend: options.Backend = "onnxruntime",
    masks_note: options.MasksNote = None,
) -> None:
    """Measure instance masks, semantic masks, localisation and classification of a bundle."""
    options.check_writable(json_file)
    opened = Bundle.open(bundle)
    dataset = open_ground_truth(data, split, opened.manifest.classes)
    methods = chosen_methods(retrieval)
    segmenters = open_segmenters(opened, opened.manifest.retrieval, methods, backend)
    samples = first_samples(dataset, limit)
    with progress_bar(f"{bundle.name} on {split}", len(samples)) as advance:
        evaluations = measure(segmenters, dataset, samples, advance)

    basis = protocol(dataset, split, len(samples), masks_note)
    on_stdout = json_file == Path("-")
    console = Console(stderr=on_stdout)
    console.print(summary_table(evaluations, bundle.name))
    console.print(coco_table(evaluations, "as COCO measures"))
    if per_class:
        for method, evaluation in evaluations.items():
            console.print(class_table(evaluation, f"{bundle.name}, {method}"))
    console.print(basis, highlight=False)
    if json_file is not None:
        text = json.dumps(as_json(evaluations, basis, bundle.name), indent=2)
        if on_stdout:
            typer.echo(text)
        else:
            json_file.write_text(text + "\n")
