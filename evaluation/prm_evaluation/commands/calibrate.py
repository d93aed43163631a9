"""``prm-eval calibrate BUNDLE``: from which response on a class is present, by image-level labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from prm_evaluation.commands import options
from prm_evaluation.commands.progress import progress_bar
from prm_evaluation.datasets import open_dataset
from prm_evaluation.tuning.presence import calibrate_classes, gather_strengths
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, with_manifest
from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter


def calibrate(
    bundle: options.Bundle,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="Pictures with image-level labels: a folder with SPLIT.csv, a VOC tree or a COCO folder.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The calibrated bundle.", show_default=False)],
    split: Annotated[
        str, typer.Option("--split", help="Pictures that the network was not trained on: val.csv for val.")
    ] = "val",
    limit: options.Limit = None,
    backend: options.Backend = "onnxruntime",
) -> None:
    """Let each class count as present where it is more likely there than not; image-level labels are enough.

    Networks give each class a range of its own. This fits a logistic curve per class to whether pictures have
    its label. No mask is looked at; with masks, prm-eval tune does this and searches the other settings too.
    """
    options.check_writable(out)
    original = Bundle.open(bundle)
    manifest = original.manifest
    samples = open_dataset(data, split, manifest.classes).samples[:limit]
    if not samples:
        raise PrmError(f"{data} has no pictures in its split {split}; calibration needs some with labels")
    with progress_bar("calibrating classes", len(samples)) as advance:
        segmenter = Segmenter(original, create_backend(backend))
        strengths, present = gather_strengths(segmenter, samples, advance)
    settings = calibrate_classes(manifest.retrieval, strengths, present)
    if settings == manifest.retrieval:
        raise PrmError(
            f"nothing was learnt from {len(samples)} pictures of {data}: each class has to be in some of "
            "them and missing from others, with higher responses where it is"
        )
    with_manifest(original, manifest.model_copy(update={"retrieval": settings}), out)
    Console().print(f"{len(samples)} pictures of {data.name} {split}; wrote {out}", highlight=False)
