"""``prm-eval tune BUNDLE``: choose the retrieval settings of a bundle."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from prm_evaluation.commands import options
from prm_evaluation.commands.progress import progress_bar
from prm_evaluation.evaluate import Evaluation
from prm_evaluation.evaluate import evaluate as measure
from prm_evaluation.ground_truth import first_samples, open_ground_truth, protocol
from prm_evaluation.methods import METHODS, Method, chosen_methods, open_segmenters
from prm_evaluation.reports import summary_table
from prm_evaluation.tuning.gather import gather
from prm_evaluation.tuning.presence import calibrate_classes, gather_strengths
from prm_evaluation.tuning.trial import Figures
from prm_evaluation.tuning.tune import MethodGain
from prm_evaluation.tuning.tune import tune as search
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, with_manifest
from prm_runtime.manifest import Manifest
from prm_runtime.segmenter import Segmenter


def tune(
    bundle: options.Bundle,
    data: options.Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The tuned bundle.", show_default=False)],
    split: options.Split = "val",
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what the network says about each picture, so that a second run starts at "
            "once. Empty it when the code has changed.",
            show_default=False,
        ),
    ] = None,
    evaluations: Annotated[int, typer.Option(min=1, help="Most candidate settings per method.")] = 100,
    processes: options.Processes = options.CORES,
    retrieval: Annotated[
        Literal["eq6", "walk", "both"], typer.Option(help="Retrieval method to search, or both.")
    ] = "both",
    limit: options.Limit = None,
    backend: options.Backend = "onnxruntime",
    masks_note: options.MasksNote = None,
) -> None:
    """Choose thresholds, the parameters of both retrieval methods and the better method on labelled pictures.

    The search runs on every other picture; the rest shows how much of the gain is real. The new bundle holds
    the settings, calibrated scores, and its figures on all pictures.
    """
    options.check_writable(out)
    searched_methods = chosen_methods(retrieval)
    original = Bundle.open(bundle)
    manifest = original.manifest
    dataset = open_ground_truth(data, split, manifest.classes)
    samples = first_samples(dataset, limit)
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prm-tune-")))
        searched = samples[::2]
        with progress_bar("calibrating classes", len(searched)) as advance:
            segmenter = Segmenter(original, create_backend(backend))
            start = calibrate_classes(manifest.retrieval, *gather_strengths(segmenter, searched, advance))
        with progress_bar("looking at pictures", len(samples)) as advance:
            paths = gather(original, start, dataset, samples, folder, backend, advance)
        with progress_bar("trying settings", evaluations * len(searched_methods)) as advance:
            tuned = search(
                paths,
                len(manifest.classes),
                start,
                evaluations,
                processes,
                advance,
                mask_head=manifest.has_mask_head,
                methods=searched_methods,
            )

    with progress_bar("measuring", len(samples)) as advance:
        methods = sorted(METHODS, key=lambda method: method != tuned.settings.method)  # the default first
        segmenters = open_segmenters(original, tuned.settings, methods, backend)
        figures = measure(segmenters, dataset, samples, advance)
    basis = f"{protocol(dataset, split, len(samples), masks_note)}; settings tuned on every other one of them"
    with_manifest(original, _updated(manifest, tuned.settings, figures, basis), out)

    console = Console()
    console.print(_gain_table(tuned.gains))
    console.print(_settings_table(manifest.retrieval, tuned.settings))
    console.print(summary_table(figures, out.name))
    if tuned.not_calibrated:
        console.print(f"[yellow]scores stay as they were:[/] {tuned.not_calibrated}", highlight=False)
    console.print(f"{basis}\ndefault method: {tuned.settings.method}; wrote {out}", highlight=False)


def _updated(
    manifest: Manifest, settings: RetrievalSettings, figures: dict[str, Evaluation], basis: str
) -> Manifest:
    metrics = {
        f"{method} {name}": round(value, 2)
        for method, evaluation in figures.items()
        for name, value in evaluation.summary().items()
        if not math.isnan(value)
    }
    provenance = manifest.provenance.model_copy(update={"metrics": metrics, "metrics_protocol": basis})
    return manifest.model_copy(update={"retrieval": settings, "provenance": provenance})


def _gain_table(gains: Mapping[Method, MethodGain]) -> Table:
    """Figures of the calibrated start and of what was found, on the half searched and the half held out."""
    table = Table("method", "pictures", "settings", title="tuning (%, on superpixels)")
    for column in fields(Figures):
        table.add_column(column.name, justify="right")
    for method, gain in gains.items():
        rows = {
            ("searched", "start"): gain.before,
            ("searched", "tuned"): gain.after,
            ("held out", "start"): gain.held_out_before,
            ("held out", "tuned"): gain.held_out_after,
        }
        for (pictures, settings), figures in rows.items():
            table.add_row(method, pictures, settings, *(f"{value:.1f}" for value in asdict(figures).values()))
    return table


def _settings_table(before: RetrievalSettings, after: RetrievalSettings) -> Table:
    """The settings that changed."""
    table = Table("setting", "before", "after", title="settings")
    old, new = _flat(asdict(before)), _flat(asdict(after))
    for name, value in new.items():
        if value != old[name] and not isinstance(value, tuple):  # one number per class is no row to read
            table.add_row(name, str(old[name]), str(value))
    return table


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
