"""Hold the graphs of an export to slow, independent computations on a real picture, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from rich.table import Table

from prm_export.errors import ExportError
from prm_export.material import Reference
from prm_export.oracle import Oracle
from prm_export.oracle_peaks import peak_table
from prm_export.passes.class_scores import CLASS_SCORES
from prm_export.pipeline import GraphOptions, Graphs
from prm_export.precision import Precision
from prm_runtime.backends import create_backend
from prm_runtime.sources.pictures import read_picture
from prm_train.aggregation import class_scores, create_aggregation

PICTURE = "assets/chelsea.jpg"
PEAKS = 3
TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Tolerances:
    """How far graphs may be from float32 computations, as shares of the largest value.

    Attributes:
        maps: Class maps.
        features: Feature maps and mask logits.
        moved: Share of the best peaks that may have gone elsewhere.
        prm_error: Peak Response Maps, of the maximum.
        prm_correlation: 1 - correlation of Peak Response Maps.
    """

    maps: float
    features: float
    moved: float
    prm_error: float
    prm_correlation: float


TOLERANCES = {
    Precision.fp32: Tolerances(1e-3, 1e-3, 0, 5e-3, 1e-6),
    Precision.fp16: Tolerances(0.03, 0.03, 0, 0.1, 1e-3),
    Precision.int8: Tolerances(0.35, 0.35, 1 / PEAKS, 0.5, 0.05),
}
"""Where weights are stored as float16, maps of fp32 may be as far off as those of fp16."""


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        name: What is compared with what.
        error: The measured difference, 0 being equality.
        tolerance: The largest error that passes.
    """

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within tolerance; NaN is not."""
        return self.error <= self.tolerance


def packaged_picture() -> NDArray[np.uint8]:
    """The photograph of a cat that exports verify on by default, RGB uint8 [H, W, 3]."""
    with as_file(files("prm_export") / PICTURE) as path:
        return read_picture(path)


def verify(
    graphs: Graphs,
    reference: Reference,
    options: GraphOptions,
    image: NDArray[np.float32],
    precision: Precision = Precision.fp32,
    than: str = "torch",
) -> list[Check]:
    """Run the graphs in ONNX Runtime and compare every output.

    Class maps and features are held to torch (within what float16 storage of weights costs), scores to the
    aggregation that the network was trained with, the peak table to a search through every window, and the
    Peak Response Maps of the best peaks to the autograd oracle of the same rules, with share splitting where
    the graphs share. Graphs of lower precision are held to the same computations in float32, and their peaks
    to those of torch. Of a batch every second image is mirrored.

    Args:
        graphs: The graphs.
        reference: The network they were made from: class maps and features of an image.
        options: What they were built with.
        image: Normalised picture, float32 [1, 3, H, W].
        precision: What the graphs compute in.
        than: How messages call the reference.
    """
    backend = create_backend("onnxruntime")
    mirrored = np.ascontiguousarray(image[..., ::-1])
    images = np.concatenate([(image, mirrored)[n % 2] for n in range(options.batch)])
    outputs = backend.compile(graphs.forward.SerializeToString()).run({"image": images})
    M = outputs["class_maps"]
    with torch.inference_mode():
        expected_M, features = reference(torch.from_numpy(images))
    tolerance = TOLERANCES[precision]
    stored = TOLERANCES[Precision.fp16] if options.half_weights and not options.byte_weights else tolerance
    maps, rest = max(tolerance.maps, stored.maps), max(tolerance.features, stored.features)
    checks = [_relative(f"class maps vs {than}", M, expected_M.numpy(), maps)]
    for name, feature in features.items():
        checks.append(_relative(f"feature {name} vs {than}", outputs[name], feature.numpy(), rest))
    # Soft proposals read the features below the maps, which lower precision changes
    rounding = 1e-4 if precision is Precision.fp32 else tolerance.maps
    if options.aggregation is not None:
        expected_s = _aggregated(graphs.classifier, options, images, M)
        checks.append(_relative("class scores vs aggregation", outputs[CLASS_SCORES], expected_s, rounding))
    tables = [peak_table(m, options.window, options.max_peaks, options.peak_threshold) for m in M]
    differing = sum(
        _differing(found, table, m[None]) for found, table, m in zip(outputs["peaks"], tables, M, strict=True)
    )
    checks.append(Check("peak table vs search: rows that differ", differing, 0))
    peaks = [table[table[:, 0] >= 0][:PEAKS] for table in tables]
    if len(peaks[0]) == 0:
        raise ExportError("the class response maps have no peak (all NaN?): the checkpoint is damaged")
    if precision is not Precision.fp32:
        best = peak_table(expected_M.numpy()[0], options.window, PEAKS, options.peak_threshold)
        checks.append(Check(f"best peaks that moved, vs {than}", moved(best, tables[0]), tolerance.moved))
    reverse = backend.compile(graphs.backprop.SerializeToString())
    for n in range(min(options.batch, 2)):
        gains = {
            name: value if value.ndim == 1 else value[n : n + 1]
            for name, value in outputs.items()
            if name.startswith("gain_")
        }
        prms = reverse.run({"peaks": peaks[n], **gains})["prms"]
        found = _check_prms(graphs, options, images[n : n + 1], peaks[n], prms, tolerance)
        checks += [replace(check, name=f"{check.name}{', mirrored' if n else ''}") for check in found]
    return checks


def moved(best: NDArray[np.int64], table: NDArray[np.int64]) -> float:
    """Share of peaks that have none of their class within a cell of them.

    Args:
        best: Rows (class, row, column), int64 [P, 3]; -1 is padding.
        table: Rows to look for them in, int64 [K, 3].
    """
    best = best[best[:, 0] >= 0]
    gone = [not (np.abs(table - peak) <= (0, 1, 1)).all(1).any() for peak in best]
    return float(np.mean(gone)) if gone else 0.0


def report(checks: Sequence[Check]) -> Table:
    """The checks as a table for people."""
    table = Table(
        "check", "error", "tolerance", "", title="verification in ONNX Runtime", title_justify="left"
    )
    for check in checks:
        verdict = "[green]ok" if check.passed else "[bold red]FAILED"
        table.add_row(check.name, f"{check.error:.2g}", f"{check.tolerance:.2g}", verdict)
    return table


def _check_prms(
    graphs: Graphs,
    options: GraphOptions,
    image: NDArray[np.float32],
    peaks: NDArray[np.int64],
    prms: NDArray[np.float32],
    tolerance: Tolerances,
) -> list[Check]:
    oracle = Oracle(graphs.classifier, options.image_minimum, rules=options.rules)
    values = oracle.run(image)
    cells = [(int(c), int(row), int(column)) for c, row, column in peaks]
    if graphs.split is None:
        expected = np.stack([oracle.response_map(values, cell, graphs.stop) for cell in cells])
    else:
        expected = oracle.shared_maps(values, cells, graphs.split, graphs.stop, graphs.spread)
    if not expected.any():
        raise ExportError("the best peaks have no evidence below them: the checkpoint is damaged")
    error = np.abs(prms - expected).max((1, 2)) / np.maximum(expected.max((1, 2)), TINY)
    correlation = [
        1.0 if np.array_equal(a, b) else float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        for a, b in zip(prms, expected, strict=True)
    ]
    mass = np.abs(prms.sum((1, 2), dtype=np.float64) - expected.sum((1, 2)))  # 0 without any evidence
    return [
        Check("PRMs vs oracle: largest error / maximum", float(error.max()), tolerance.prm_error),
        Check("PRMs vs oracle: 1 - correlation", float(1 - np.min(correlation)), tolerance.prm_correlation),
        Check("PRMs vs oracle: mass", float(mass.max()), 1e-3),
    ]


def _aggregated(
    classifier: onnx.ModelProto,
    options: GraphOptions,
    images: NDArray[np.float32],
    M: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Class scores of class response maps by the aggregation that the network was trained with."""
    aggregation = create_aggregation(options.aggregation or "", **options.aggregation_options)
    U = np.concatenate([_class_layer_input(classifier, one[None]) for one in images])
    with torch.inference_mode():
        return class_scores(aggregation, torch.from_numpy(M), torch.from_numpy(U)).numpy()


def _class_layer_input(classifier: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features that M is made from, float32 [1, K, h, w], with the weights as stored."""
    model = onnx.ModelProto()
    model.CopyFrom(classifier)
    M = model.graph.output[0].name
    name = next(node.input[0] for node in model.graph.node if M in node.output)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    graph = create_backend("onnxruntime").compile(model.SerializeToString())
    return np.asarray(graph.run({"image": image})[name], np.float32)


def _relative(
    name: str, found: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float
) -> Check:
    if found.shape != expected.shape:
        raise ExportError(f"{name}: shape {found.shape}, expected {expected.shape}")
    scale = np.maximum(np.abs(expected).max(), TINY)
    return Check(name, float(np.abs(found - expected).max() / scale), tolerance)


def _differing(found: NDArray[np.int64], expected: NDArray[np.int64], M: NDArray[np.float32]) -> float:
    # cells of equal response may come in any order
    def responses(table: NDArray[np.int64]) -> NDArray[np.float32]:
        live = table[table[:, 0] >= 0]
        return np.pad(M[0][tuple(live.T)], (0, len(table) - len(live)), constant_values=-np.inf)

    different = (found != expected).any(1) & (responses(found) != responses(expected))
    return float(different.sum())
