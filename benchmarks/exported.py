"""The shipped bundle exported again in other forms, as ``prm-export BUNDLE`` does, but not verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prm_export.assemble import BACKPROP, FORWARD, Variant, graph_options
from prm_export.pipeline import build_graphs, graph_spec
from prm_export.precision import lower_precision
from prm_export.reexport import bundle_material
from prm_runtime.bundle import Bundle, shipped_bundle, write_bundle
from prm_runtime.preprocess import preprocess


def as_shipped(**changes: object) -> Variant:
    """The shipped bundle's own form, but for some changes."""
    peaks = Bundle.open(shipped_bundle()).manifest.peaks
    same = ("stop_stride", "stop_early", "split_stride", "split_reach")
    return Variant(**{name: getattr(peaks, name) for name in same}, **changes)  # type: ignore[arg-type]


def export_again(path: Path, variant: Variant, calibration: Sequence[NDArray[np.uint8]] = ()) -> Bundle:
    """Write a bundle and open it.

    Args:
        path: The file to write.
        variant: What to make of the network.
        calibration: Frames for int8, RGB uint8 [H, W, 3].
    """
    shipped = Bundle.open(shipped_bundle())
    material = bundle_material(shipped.path)
    images = [preprocess(frame, material.preprocessing) for frame in calibration]
    exact = build_graphs(material.classifier, graph_options(material, variant))
    graphs = lower_precision(exact, variant.precision, images)
    models = {FORWARD: graphs.forward, BACKPROP: graphs.backprop}
    forward, backprop = (graph_spec(file, model) for file, model in models.items())
    changed = {"forward": forward, "backprop": backprop, "fused": None, "precision": variant.precision.value}
    manifest = shipped.manifest.model_copy(update=changed)
    write_bundle(path, manifest, {file: model.SerializeToString() for file, model in models.items()})
    return Bundle.open(path)
