"""Class scores (Eq. 2, and what the paper compares it to) as ONNX operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from prm_export.emit import Emitter
from prm_export.errors import ExportError
from prm_export.passes.peak_find import mark_peaks

CLASS_SCORES = "class_scores"
SIDES = (-2, -1)
FAINTEST = 1e-7
"""As in ``prm_train.soft_proposal``."""


def add_class_scores(model: ir.Model, M: ir.Value, name: str, options: Mapping[str, Any]) -> ir.Model:
    """Add the output ``class_scores``, float32 [N, C].

    Args:
        model: Model to extend.
        M: Its class response maps, float32 [N, C, h, w].
        name: Aggregation that the classifier was trained with, a key of ``AGGREGATIONS``.
        options: Its parameters, as in ``prm_train.aggregation``.

    Raises:
        ExportError: If the aggregation is unknown, or wants features and M is not made by a 1×1 convolution.
    """
    if name not in AGGREGATIONS:
        known = ", ".join(AGGREGATIONS)
        raise ExportError(f"the checkpoint aggregates by '{name}', which has no ONNX form: known are {known}")
    try:
        s = AGGREGATIONS[name](Emitter(model.graph), M, **options)
    except TypeError as error:
        raise ExportError(f"aggregation '{name}' does not take the checkpoint's options ({error})") from None
    return hand_out_class_scores(model, M, s)


def take_class_scores(model: ir.Model) -> ir.Value:
    """Remove the class scores that a classifier computes itself from its outputs, and return them."""
    (scores,) = (value for value in model.graph.outputs if value.name == CLASS_SCORES)
    model.graph.outputs.remove(scores)
    return scores


def hand_out_class_scores(model: ir.Model, M: ir.Value, s: ir.Value) -> ir.Model:
    """Make s the output ``class_scores``."""
    s.name, s.dtype = CLASS_SCORES, ir.DataType.FLOAT
    s.shape = None if M.shape is None else ir.Shape(M.shape[:2])
    model.graph.outputs.append(s)
    return model


def _peak(emitter: Emitter, M: ir.Value, window: int = 3, filter: str = "median") -> ir.Value:  # noqa: A002
    peaks = mark_peaks(emitter, M, window)
    if filter != "none":
        threshold = _lower_median(emitter, M) if filter == "median" else _mean(emitter, M, keepdims=1)
        # the mean of equal values may be rounded above all of them
        threshold = emitter.op("Min", threshold, _max(emitter, M, keepdims=1))
        peaks = emitter.op("And", peaks, emitter.op("GreaterOrEqual", M, threshold))
    sides = emitter.int64(*SIDES)
    responses = emitter.op("Where", peaks, M, emitter.constant(0.0))
    N = emitter.op("ReduceSum", emitter.op("Cast", peaks, to=ir.DataType.FLOAT), sides, keepdims=0)
    total = emitter.op("ReduceSum", responses, sides, keepdims=0)
    return emitter.op("Div", total, emitter.op("Max", N, emitter.constant(1.0)))


def _mean(emitter: Emitter, M: ir.Value, keepdims: int = 0) -> ir.Value:
    return emitter.op("ReduceMean", M, emitter.int64(*SIDES), keepdims=keepdims)


def _max(emitter: Emitter, M: ir.Value, keepdims: int = 0) -> ir.Value:
    return emitter.op("ReduceMax", M, emitter.int64(*SIDES), keepdims=keepdims)


def _log_sum_exp(emitter: Emitter, M: ir.Value, r: float = 4.0) -> ir.Value:
    sharp = emitter.op("Mul", M, emitter.constant(r))
    peak = _max(emitter, sharp, keepdims=1)  # subtracted so that exp cannot overflow
    sides = emitter.int64(*SIDES)
    mean = emitter.op("ReduceMean", emitter.op("Exp", emitter.op("Sub", sharp, peak)), sides, keepdims=1)
    log = emitter.op("Squeeze", emitter.op("Add", emitter.op("Log", mean), peak), sides)
    return emitter.op("Div", log, emitter.constant(r))


def _max_min(
    emitter: Emitter, M: ir.Value, k_plus: float = 0.2, k_minus: float = 0.2, alpha: float = 0.7
) -> ir.Value:
    cells = _cells(emitter, M)
    count = emitter.op("Cast", _count(emitter, M), to=ir.DataType.DOUBLE)

    def mean_of(share: float, largest: int) -> ir.Value:
        k = emitter.op("Round", emitter.op("Mul", count, emitter.constant(share, np.float64)))
        k = emitter.op("Max", emitter.op("Cast", k, to=ir.DataType.INT64), emitter.int64(1))
        values, _ = emitter.ops("TopK", 2, cells, k, largest=largest)
        return emitter.op("ReduceMean", values, emitter.int64(-1), keepdims=0)

    lowest = emitter.op("Mul", mean_of(k_minus, largest=0), emitter.constant(alpha))
    return emitter.op("Add", mean_of(k_plus, largest=1), lowest)


def _soft_proposal(emitter: Emitter, M: ir.Value, epsilon: float = 0.15) -> ir.Value:
    features = _cells(emitter, _classifier_input(M))  # [N, K, n]
    dissimilarity = _distances(emitter, features)
    width = emitter.op("Gather", emitter.sides(M), emitter.constant(1, np.int64))
    n = _count(emitter, M)
    cell = emitter.op(
        "Range", emitter.constant(0, np.int64), emitter.op("Squeeze", n), emitter.constant(1, np.int64)
    )
    rows_and_columns = [emitter.op("Div", cell, width), emitter.op("Mod", cell, width)]
    places = emitter.op(
        "Concat",
        *(emitter.op("Unsqueeze", place, emitter.int64(0, 1)) for place in rows_and_columns),
        axis=1,
    )
    distance = _distances(emitter, emitter.op("Cast", places, to=ir.DataType.FLOAT))
    reach = emitter.op("Mul", emitter.op("Cast", n, to=ir.DataType.FLOAT), emitter.constant(-2 * epsilon**2))
    near = emitter.op("Exp", emitter.op("Div", emitter.op("Mul", distance, distance), reach))
    degree = emitter.op("ReduceSum", emitter.op("Mul", dissimilarity, near), emitter.int64(1), keepdims=1)
    degree = emitter.op("Add", degree, emitter.constant(FAINTEST))
    proposal = emitter.op("Div", degree, emitter.op("ReduceSum", degree, emitter.int64(-1), keepdims=1))
    return emitter.op(
        "ReduceSum", emitter.op("Mul", _cells(emitter, M), proposal), emitter.int64(-1), keepdims=0
    )


def _classifier_input(M: ir.Value) -> ir.Value:
    classifier = M.producer()
    inputs = () if classifier is None or classifier.op_type != "Conv" else classifier.inputs
    features, weight = (*inputs[:2], None, None)[:2]
    if features is None or weight is None or weight.shape is None or weight.shape[2:] != (1, 1):
        raise ExportError(
            "aggregation 'spn' reads the features under the class layer, which is no 1×1 convolution"
        )
    return features


def _distances(emitter: Emitter, vectors: ir.Value) -> ir.Value:
    """Euclidean distances [N, n, n] between the columns of [N, K, n]."""
    lengths = emitter.op("ReduceSumSquare", vectors, emitter.int64(1), keepdims=1)
    transposed = emitter.op("Transpose", vectors, perm=[0, 2, 1])
    both = emitter.op("Add", lengths, emitter.op("Transpose", lengths, perm=[0, 2, 1]))
    twice = emitter.op("Mul", emitter.op("MatMul", transposed, vectors), emitter.constant(2.0))
    # rounding makes tiny squares negative
    return emitter.op("Sqrt", emitter.op("Relu", emitter.op("Sub", both, twice)))


def _lower_median(emitter: Emitter, M: ir.Value) -> ir.Value:
    half = emitter.op("Div", emitter.op("Add", _count(emitter, M), emitter.int64(1)), emitter.int64(2))
    lower, _ = emitter.ops("TopK", 2, _cells(emitter, M), half, largest=0)
    median = emitter.op("ReduceMax", lower, emitter.int64(-1), keepdims=1)
    return emitter.op("Unsqueeze", median, emitter.int64(-1))


def _cells(emitter: Emitter, M: ir.Value) -> ir.Value:
    return emitter.op("Reshape", M, emitter.int64(0, 0, -1))


def _count(emitter: Emitter, M: ir.Value) -> ir.Value:
    return emitter.op("ReduceProd", emitter.sides(M), keepdims=1)


AGGREGATIONS: dict[str, Callable[..., ir.Value]] = {
    "peak": _peak,
    "average": _mean,
    "max": _max,
    "lse": _log_sum_exp,
    "maxmin": _max_min,
    "spn": _soft_proposal,
}
