"""``prm-export CHECKPOINT -o NAME.prm``: a checkpoint becomes a verified bundle."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import ValidationError

from prm_export.classifier import export_classifier
from prm_export.errors import ExportError
from prm_export.pipeline import GraphOptions, build_graphs, graph_spec
from prm_export.verify import packaged_picture, report, verify
from prm_proposals.presets import for_taps
from prm_runtime.bundle import write_bundle
from prm_runtime.console import stderr
from prm_runtime.manifest import Manifest, PeakSettings, Preprocessing, Provenance
from prm_runtime.preprocess import preprocess
from prm_runtime.sources.pictures import read_picture
from prm_train.checkpoint import CheckpointConfig, load_checkpoint

FORWARD, BACKPROP = "forward.onnx", "backprop.onnx"


class WeightsDtype(StrEnum):
    """How weights are stored; the arithmetic is float32 either way."""

    float16 = "float16"
    float32 = "float32"


class StopStride(StrEnum):
    """Strides at which the reverse pass can end."""

    pixels = "1"
    half = "2"
    quarter = "4"
    eighth = "8"
    sixteenth = "16"


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with model.safetensors and config.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Bundle to write, NAME.prm.")],
    stop_stride: Annotated[
        StopStride,
        typer.Option(help="Image pixels per cell of the Peak Response Maps; 1 goes to the pixels."),
    ] = StopStride.half,
    window: Annotated[int, typer.Option(help="Side of the peak window in cells, odd.", min=1)] = 3,
    max_peaks: Annotated[int, typer.Option(help="Rows of the peak table.", min=1)] = 64,
    weights_dtype: Annotated[WeightsDtype, typer.Option(help="Stored precision.")] = WeightsDtype.float16,
    verify_image: Annotated[
        Path | None,
        typer.Option(help="Picture to verify on.", show_default="a cat"),
    ] = None,
) -> None:
    """Export a checkpoint of prm-train to a bundle for prm-run, verified before anything is written."""
    if window % 2 == 0:
        raise ExportError(f"the peak window must be odd, found {window}: use {window - 1} or {window + 1}")
    _check_output(output)
    model, config = load_checkpoint(checkpoint)
    preprocessing = Preprocessing(size=config.input_size, mean=config.mean, std=config.std)
    aggregation = dict(config.aggregation)
    mean, std = np.array(config.mean, np.float32), np.array(config.std, np.float32)
    options = GraphOptions(
        image_minimum=(0 - mean) / std,
        aggregation=aggregation.pop("name", ""),
        aggregation_options=aggregation,
        window=window,
        max_peaks=max_peaks,
        stop_stride=int(stop_stride),
        half_weights=weights_dtype is WeightsDtype.float16,
    )
    provenance = _provenance(config)
    picture = packaged_picture() if verify_image is None else read_picture(verify_image)
    with stderr.status("exporting the classifier"):
        graphs = build_graphs(export_classifier(model), options)
    with stderr.status("verifying against the oracle"):
        checks = verify(graphs, model, options, preprocess(picture, preprocessing))
    stderr.print(report(checks))
    if failed := [check.name for check in checks if not check.passed]:
        raise ExportError(
            f"the graphs do not compute what they should ({', '.join(failed)}): nothing was written"
        )
    members = {FORWARD: graphs.forward.SerializeToString(), BACKPROP: graphs.backprop.SerializeToString()}
    manifest = Manifest(
        name=output.stem,
        classes=config.classes,
        preprocessing=preprocessing,
        forward=graph_spec(FORWARD, graphs.forward),
        backprop=graph_spec(BACKPROP, graphs.backprop),
        peaks=PeakSettings(window=window, max_peaks=max_peaks, stop_stride=options.stop_stride),
        proposals=for_taps(config.taps),
        provenance=provenance,
    )
    write_bundle(output, manifest, members)
    stderr.print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)


def _check_output(path: Path) -> None:
    """Fail now rather than after the export."""
    if path.is_dir():
        raise ExportError(f"{path} is a folder: give the file to write, such as {path / 'NAME.prm'}")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ExportError(f"{path} cannot be written: {nearest} is no folder that you may write to")


def _provenance(config: CheckpointConfig) -> Provenance:
    trained = config.provenance
    try:
        return Provenance(
            prm_edge_version=version("prm-edge"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=_git_commit(),
            backbone=config.backbone,
            data=trained.get("data"),
            recipe=trained.get("recipe"),
            metrics=trained.get("metrics") or {},
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ExportError(
            f"the checkpoint's provenance is damaged at '{first['loc'][0]}': {first['msg']}"
        ) from None


def _git_commit() -> str | None:
    """The commit that the exporting code is at, if it runs from a checkout of its own."""
    root = Path(__file__).resolve().parents[3]
    command = ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    toplevel, commit = done.stdout.splitlines()
    # an environment inside some other project's checkout has that project's commit
    return commit if Path(toplevel).resolve() == root else None
