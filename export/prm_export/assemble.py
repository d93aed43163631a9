"""From a network to the manifest and members of a bundle, verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from prm_export.errors import ExportError
from prm_export.material import Material
from prm_export.passes.fuse import fuse
from prm_export.pipeline import GraphOptions, build_graphs, graph_spec
from prm_export.precision import Precision, lower_precision
from prm_export.share_kernels import FittedShares, ShareKernels
from prm_export.verify import Check, verify
from prm_runtime.manifest import GraphSpec, Manifest, PeakSettings
from prm_runtime.preprocess import preprocess

FORWARD, BACKPROP, FUSED = "forward.onnx", "backprop.onnx", "fused.onnx"
USUAL_STOP = 2


@dataclass(frozen=True)
class Variant:
    """What becomes of a network.

    Attributes:
        window: Side of the peak window in cells, odd; None leaves it to the network.
        max_peaks: Rows of the peak table; None leaves it to the network.
        stop_stride: Image pixels per cell of the Peak Response Maps; None takes 2, or the next that there is.
        stop_early: Stop at the first layer of that stride that the walk reaches, not at the last.
        split_stride: Stride at which peaks begin to share their way; None walks each alone.
        split_reach: Cells around a peak that its walk has to itself, in place of ``split_stride``.
        batch: Frames that the network takes at once.
        precision: What its trunk computes in.
        half_weights: Store weights as float16 where the arithmetic is float32.
        fused: Add the fused graph.
        rules: How peaks are back-propagated, a key of ``prm_export.rules.RULES``.
    """

    window: int | None = None
    max_peaks: int | None = None
    stop_stride: int | None = 2
    stop_early: bool = False
    split_stride: int | None = None
    split_reach: int | None = None
    batch: int = 1
    precision: Precision = Precision.fp32
    half_weights: bool = True
    fused: bool = False
    rules: Literal["paper", "reference"] = "paper"


@dataclass(frozen=True)
class Assembled:
    """What a bundle is written from, and how well it computes what it should."""

    manifest: Manifest
    members: dict[str, bytes]
    checks: list[Check]


def assemble(
    name: str,
    material: Material,
    variant: Variant,
    picture: NDArray[np.uint8],
    calibration: Sequence[NDArray[np.uint8]] = (),
) -> Assembled:
    """Build, convert and verify the graphs of a bundle.

    Args:
        name: Of the bundle.
        material: The network with all that is known about it.
        variant: What to make of it.
        picture: What to verify on, RGB uint8 [H, W, 3].
        calibration: Pictures for int8.

    Raises:
        ExportError: If the network cannot be exported so.
    """
    options = graph_options(material, variant)
    exact = build_graphs(material.classifier, options)
    images = [preprocess(frame, material.preprocessing) for frame in calibration]
    graphs = lower_precision(exact, variant.precision, images)
    image = preprocess(picture, material.preprocessing)
    checks = verify(
        graphs, material.reference, options, image, variant.precision, than=material.reference_name
    )
    models = {FORWARD: graphs.forward, BACKPROP: graphs.backprop}
    if variant.fused:
        # in one graph nothing is computed twice and nothing waits for a peak
        eager = build_graphs(material.classifier, replace(options, lazy_gains=False))
        eager = lower_precision(eager, variant.precision, images)
        models[FUSED] = fuse(eager.forward, eager.backprop)
    specs: dict[str, GraphSpec] = {file: graph_spec(file, model) for file, model in models.items()}
    manifest = Manifest(
        name=name,
        classes=material.classes,
        preprocessing=material.preprocessing,
        forward=specs[FORWARD],
        backprop=specs[BACKPROP],
        fused=specs.get(FUSED),
        precision=variant.precision.value,
        peaks=PeakSettings(
            window=options.window,
            max_peaks=options.max_peaks,
            stop_stride=graphs.stop_stride,
            stop_early=options.stop_early,
            rules=variant.rules,
            prm="exact" if graphs.split is None else "shared",
            split_stride=options.split_stride,
            split_reach=options.split_reach,
        ),
        proposals=material.proposals,
        retrieval=material.retrieval,
        provenance=material.provenance,
    )
    return Assembled(manifest, {file: _serialised(model) for file, model in models.items()}, checks)


def graph_options(material: Material, variant: Variant) -> GraphOptions:
    """What the passes have to know for a variant of a network."""
    preprocessing, known = material.preprocessing, material.aggregation
    aggregation = {"name": None} if known is None else dict(known)
    mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
    profile = preprocessing.profile
    return GraphOptions(
        image_minimum=(0 - mean) / std,
        aggregation=aggregation.pop("name", ""),
        aggregation_options=aggregation,
        window=variant.window or material.window,
        max_peaks=variant.max_peaks or material.max_peaks,
        stop_stride=variant.stop_stride or USUAL_STOP,
        or_coarser=variant.stop_stride is None,
        multiple=preprocessing.multiple,
        rules=variant.rules,
        half_weights=variant.half_weights or variant.precision is Precision.fp16,
        byte_weights=variant.precision is Precision.int8,
        stop_early=variant.stop_early,
        split_stride=variant.split_stride,
        split_reach=variant.split_reach,
        share_kernels=_share_kernels(material, variant),
        # lower precision wants gains of what its trunk computes, in the graph of the trunk
        lazy_gains=variant.precision is Precision.fp32,
        batch=variant.batch,
        fixed_size=profile.min if profile is not None and profile.is_fixed else None,
    )


def with_shares(material: Material, path: Path, variant: Variant) -> Material:
    """The material with share kernels from a file.

    Raises:
        ExportError: If it cannot be read, or they were fitted to another walk than the variant's.
    """
    fitted = FittedShares.read(path)
    if not _is_for(fitted, variant):
        raise ExportError(
            f"{path} was fitted for {fitted.walk}: export with these options, or run prm-export fit-shares "
            "with yours"
        )
    return replace(material, shares=fitted)


def _is_for(fitted: FittedShares, variant: Variant) -> bool:
    walk = variant.split_reach, variant.stop_stride, variant.stop_early
    return (fitted.split_reach, fitted.stop_stride, fitted.stop_early) == walk


def _share_kernels(material: Material, variant: Variant) -> ShareKernels | None:
    fitted = material.shares
    return fitted.kernels if fitted is not None and _is_for(fitted, variant) else None


def refuse_failed(checks: Sequence[Check]) -> None:
    """Stop where a check failed.

    Raises:
        ExportError: Naming those that did.
    """
    if failed := [check.name for check in checks if not check.passed]:
        raise ExportError(
            f"the graphs do not compute what they should ({', '.join(failed)}): nothing was written"
        )


def _serialised(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString()
    return content
