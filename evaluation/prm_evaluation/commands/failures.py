"""``prm-eval failures BUNDLE``: why objects are missed and predictions are wrong, with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from prm_evaluation.commands import options
from prm_evaluation.commands.progress import progress_bar
from prm_evaluation.failures.gallery import counts, write_gallery
from prm_evaluation.failures.gather import Failures, gather_failures
from prm_evaluation.ground_truth import first_samples, open_ground_truth, protocol
from prm_runtime.bundle import Bundle


def failures(
    bundle: options.Bundle,
    data: options.Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the pictures and the page.", show_default=False)
    ],
    split: options.Split = "val",
    iou: Annotated[float, typer.Option(min=0.1, max=1.0, help="IoU from which on an object is found.")] = 0.5,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least score of a prediction that counts.")
    ] = 0.0,
    per_cause: Annotated[int, typer.Option(min=0, help="Most pictures of each cause.")] = 12,
    limit: options.Limit = None,
    backend: options.Backend = "onnxruntime",
    processes: options.Processes = options.CORES,
    masks_note: options.MasksNote = None,
) -> None:
    """Count why objects are missed and predictions are wrong, and draw the most striking ones.

    Writes OUT/index.html, which needs no other file, and its pictures one by one.
    """
    options.check_writable(out)
    opened = Bundle.open(bundle)
    dataset = open_ground_truth(data, split, opened.manifest.classes)
    samples = first_samples(dataset, limit)
    with progress_bar(f"{bundle.name} on {split}", len(samples)) as advance:
        found = gather_failures(
            opened,
            dataset,
            samples,
            backend,
            min_score=min_score,
            threshold=iou,
            processes=processes,
            advance=advance,
        )
    measured_on = protocol(dataset, split, len(samples), masks_note)
    basis = (
        f"{bundle.name}, {opened.manifest.retrieval.method}; {measured_on}; "
        f"found at IoU {iou:g}, scores from {min_score:g}"
    )
    page = write_gallery(found, out, per_cause, basis)
    console = Console()
    console.print(_table(found))
    console.print(f"{basis}\nwrote {page}", highlight=False)


def _table(found: Failures) -> Table:
    title = f"{found.objects} objects, {found.predictions} predictions"
    table = Table("cause", "number", "share (%)", "definition", title=title)
    for cause, (count, share) in counts(found).items():
        table.add_row(cause.title, str(count), f"{share:.1f}", cause.definition)
    return table
