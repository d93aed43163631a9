"""``prm-export SOURCE -o NAME.prm``: a checkpoint, bundle or ONNX classifier becomes a verified bundle."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from prm_export.assemble import Variant, assemble, refuse_failed, with_shares
from prm_export.calibration import pictures_of
from prm_export.commands import options
from prm_export.commands.assumptions import assumptions, normalisation
from prm_export.commands.source import check_output, network_of
from prm_export.comparison import compare
from prm_export.errors import ExportError
from prm_export.foreign import check_scores, foreign_material
from prm_export.material import with_settings
from prm_export.precision import Precision
from prm_export.sizes import with_sizes
from prm_export.verify import Check, packaged_picture, report
from prm_runtime.bundle import write_bundle
from prm_runtime.console import stderr
from prm_runtime.sources.pictures import read_picture


class WeightsDtype(StrEnum):
    """How weights are stored; the arithmetic is float32 either way."""

    float16 = "float16"
    float32 = "float32"


class RuleName(StrEnum):
    """What peak back-propagation follows."""

    paper = "paper"
    reference = "reference"


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Bundle to write, NAME.prm.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint (folder with model.safetensors and config.json), or a bundle NAME.prm whose "
            "network to export again.",
            show_default=False,
        ),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="ONNX classifier to export instead.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Its class names, one per line.", show_default=False)
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(help="What it subtracts from pixels 0..255: R,G,B.", show_default="ImageNet's"),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="What it divides by after that: R,G,B.", show_default="ImageNet's")
    ] = None,
    size: options.Size = None,
    dynamic: options.Dynamic = True,
    profile: options.Profile = None,
    batch: options.Batch = 1,
    prm: options.Mode = options.Prm.exact,
    split_stride: options.Split = options.SplitStride.eighth,
    split_reach: options.SplitReach = None,
    shares: options.Shares = None,
    stop_stride: Annotated[
        options.StopStride | None,
        typer.Option(
            help="Image pixels per cell of the Peak Response Maps; 1 goes to the pixels.",
            show_default="2, or the next that there is",
        ),
    ] = None,
    stop_early: options.StopEarly = False,
    window: Annotated[
        int | None,
        typer.Option(help="Side of the peak window in cells, odd.", min=1, show_default="3, or the bundle's"),
    ] = None,
    max_peaks: Annotated[
        int | None,
        typer.Option(
            help="Rows of the peak table.", min=1, show_default="64, with --onnx 256, or the bundle's"
        ),
    ] = None,
    rule: Annotated[
        RuleName,
        typer.Option(
            help="What back-propagation follows: the paper's equations, or the code published with it."
        ),
    ] = RuleName.paper,
    weights_dtype: Annotated[
        WeightsDtype, typer.Option(help="How fp32 stores its weights; it computes in float32 either way.")
    ] = WeightsDtype.float16,
    precision: options.Precision = Precision.fp32,
    calibrate: options.Calibrate = None,
    calibrate_count: options.CalibrateCount = 100,
    fused: options.Fused = False,
    settings_from: options.SettingsFrom = None,
    verify_image: Annotated[
        Path | None,
        typer.Option(help="Picture to verify on.", show_default="a cat"),
    ] = None,
    verify_on: options.VerifyOn = None,
    verify_split: options.VerifySplit = "val",
    verify_limit: options.VerifyLimit = None,
) -> None:
    """Export a network to a bundle for prm-run, verified before anything is written.

    The network is that of a checkpoint, of another bundle, or any ONNX classifier of pictures with its
    labels. A bundle's settings, classes and provenance are kept; its graphs follow the options.
    """
    if window is not None and window % 2 == 0:
        raise ExportError(f"the peak window must be odd, found {window}: use {window - 1} or {window + 1}")
    check_output(output)
    if split_reach is not None and prm is not options.Prm.shared:
        raise ExportError("--split-reach goes with --prm shared")
    if shares is not None and split_reach is None:
        raise ExportError("--shares goes with --split-reach")
    if (calibrate is not None) != (precision is Precision.int8):
        raise ExportError("--precision int8 goes with --calibrate FOLDER, and other precisions without")
    picture = packaged_picture() if verify_image is None else read_picture(verify_image)
    calibration = (
        [] if calibrate is None else pictures_of(calibrate, calibrate_count, f"--calibrate {calibrate}")
    )
    checks: list[Check] = []
    if onnx is not None:
        if source is not None or labels is None:
            raise ExportError("--onnx FILE goes with --labels FILE and without a checkpoint or bundle")
        preprocessing = normalisation(mean, std)
        preprocessing = with_sizes(preprocessing, size, dynamic, profile)
        with stderr.status("reading the classifier"):
            material, foreign = foreign_material(onnx, labels, preprocessing, rule.value)
            checks.append(check_scores(foreign, picture, preprocessing))
        stderr.print(assumptions(foreign, material), highlight=False)
    elif source is None:
        raise ExportError("nothing to export: give a checkpoint, a bundle, or --onnx FILE with --labels FILE")
    elif labels or mean or std:
        raise ExportError("--labels, --mean and --std go with --onnx: checkpoints and bundles know their own")
    else:
        material = network_of(source, rule.value)
        sized = with_sizes(material.preprocessing, size, dynamic, profile)
        material = replace(material, preprocessing=sized)
    if settings_from is not None:
        material = with_settings(material, settings_from)
    variant = Variant(
        window=window,
        max_peaks=max_peaks,
        stop_stride=None if stop_stride is None else int(stop_stride),
        stop_early=stop_early,
        split_stride=int(split_stride) if prm is options.Prm.shared and split_reach is None else None,
        split_reach=split_reach,
        batch=batch,
        precision=precision,
        half_weights=weights_dtype is WeightsDtype.float16,
        fused=fused,
        rules=rule.value,
    )
    if shares is not None:
        material = with_shares(material, shares, variant)
    with stderr.status("building the graphs and verifying them against the oracle"):
        built = assemble(output.stem, material, variant, picture, calibration)
    checks += built.checks
    stderr.print(report(checks))
    refuse_failed(checks)
    manifest = built.manifest
    if verify_on is not None:
        with TemporaryDirectory() as folder:
            bundles = (Path(folder) / "reference.prm", Path(folder) / output.name)
            write_bundle(bundles[1], manifest, built.members)
            with stderr.status("building the reference"):
                plain = replace(
                    variant,
                    split_stride=None,
                    split_reach=None,
                    batch=1,
                    precision=Precision.fp32,
                    half_weights=variant.half_weights and precision is Precision.fp32,
                    fused=False,
                )
                exact = assemble("reference", material, plain, picture)
            write_bundle(bundles[0], exact.manifest, exact.members)
            (comparison,) = compare(bundles[0], bundles[1:], verify_on, verify_split, verify_limit)
        stderr.print(comparison.table(output.name))
        manifest = comparison.recorded_in(manifest)
    write_bundle(output, manifest, built.members)
    stderr.print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)
