"""The peak table (Sec. 3.2): node ``prm::PeakFind`` with a body that every engine can run."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from prm_export.emit import LOWEST, OPSET, Emitter

DOMAIN = "prm"
OP_TYPE = "PeakFind"


def mark_peaks(emitter: Emitter, M: ir.Value, window: int) -> ir.Value:
    """Emit the mask of peaks: cells that hold their window's maximum, one per window also on ties.

    Args:
        emitter: Where to emit.
        M: Class response maps, float32 [N, C, h, w].
        window: Side of the window in cells, odd.

    Returns:
        bool [N, C, h, w]. NaN is never a peak.
    """
    maximum = {"kernel_shape": [window, window], "pads": [window // 2] * 4, "strides": [1, 1]}
    finite = emitter.op("Where", emitter.op("IsNaN", M), emitter.constant(LOWEST), M)
    # NaN equals nothing, so comparing M itself keeps it out
    maxima = emitter.op("Equal", M, emitter.op("MaxPool", finite, **maximum))
    sides = emitter.sides(M)
    cells = emitter.op("ReduceProd", sides, keepdims=0)
    countdown = emitter.op("Range", cells, emitter.constant(0, np.int64), emitter.constant(-1, np.int64))
    order = emitter.op("Reshape", emitter.op("Cast", countdown, to=ir.DataType.FLOAT), sides)
    rank = emitter.op("Mul", emitter.op("Cast", maxima, to=ir.DataType.FLOAT), order)
    return emitter.op("And", maxima, emitter.op("Equal", rank, emitter.op("MaxPool", rank, **maximum)))


def peak_find_function(window: int, max_peaks: int, threshold: float) -> ir.Function:
    """The body of ``prm::PeakFind``, from MaxPool and TopK alone.

    The numbers are constants of the body; the attributes of the same names are for engines with a plugin.
    """
    emitter = Emitter()
    M = ir.val("class_maps", dtype=ir.DataType.FLOAT)
    peaks = mark_peaks(emitter, M, window)
    if threshold > LOWEST:
        peaks = emitter.op("And", peaks, emitter.op("GreaterOrEqual", M, emitter.constant(threshold)))
    responses = emitter.op("Flatten", emitter.op("Where", peaks, M, emitter.constant(LOWEST)), axis=1)
    # rows to take where the maps have fewer cells than the table has rows
    padded = emitter.op("Pad", responses, emitter.int64(0, 0, 0, max_peaks), emitter.constant(LOWEST))
    scores, cell = emitter.ops("TopK", 2, padded, emitter.int64(max_peaks))
    sides = emitter.op("Shape", M, start=1)  # classes, rows, columns
    per_class = emitter.op("ReduceProd", emitter.sides(M), keepdims=1)
    width = emitter.op("Slice", sides, emitter.int64(2), emitter.int64(3))
    steps = emitter.op("Concat", per_class, width, emitter.int64(1), axis=0)
    last = emitter.int64(-1)
    table = emitter.op("Mod", emitter.op("Div", emitter.op("Unsqueeze", cell, last), steps), sides)
    found = emitter.op("Greater", scores, emitter.constant(LOWEST))
    peak_table = emitter.op(
        "Where", emitter.op("Unsqueeze", found, last), table, emitter.constant(-1, np.int64)
    )
    peak_scores = emitter.op("Where", found, scores, emitter.constant(0.0))
    graph = ir.Graph(
        [M], [peak_table, peak_scores], nodes=emitter.nodes, opset_imports={"": OPSET}, name=OP_TYPE
    )
    return ir.Function(DOMAIN, OP_TYPE, graph=graph, attributes=_attributes(window, max_peaks, threshold))


def add_peak_find(
    model: ir.Model, M: ir.Value, window: int = 3, max_peaks: int = 64, threshold: float = LOWEST
) -> ir.Model:
    """Add the outputs ``peaks`` and ``peak_scores``.

    ``peaks`` is int64 [N, max_peaks, 3], rows (class, row, column) by descending response and -1 where there
    are fewer; ``peak_scores`` float32 [N, max_peaks] is M at the peak, 0 where there is none.

    Args:
        model: Model to extend.
        M: Its class response maps, float32 [N, C, h, w].
        window: Side of the window that a peak is the maximum of, in cells, odd.
        max_peaks: Rows of the table.
        threshold: Lowest response of a peak.
    """
    function = peak_find_function(window, max_peaks, threshold)
    model.functions[function.identifier()] = function
    node = ir.Node(
        DOMAIN,
        OP_TYPE,
        [M],
        attributes=_attributes(window, max_peaks, threshold),
        num_outputs=2,
        name=OP_TYPE,
    )
    model.graph.append(node)
    model.graph.opset_imports[DOMAIN] = 1
    peaks, peak_scores = node.outputs
    batch = 1 if M.shape is None else M.shape[0]
    peaks.name, peaks.dtype, peaks.shape = "peaks", ir.DataType.INT64, ir.Shape((batch, max_peaks, 3))
    peak_scores.name, peak_scores.dtype = "peak_scores", ir.DataType.FLOAT
    peak_scores.shape = ir.Shape((batch, max_peaks))
    model.graph.outputs.extend(node.outputs)
    return model


def _attributes(window: int, max_peaks: int, threshold: float) -> list[ir.Attr]:
    return [
        ir.AttrInt64("window", window),
        ir.AttrInt64("max_peaks", max_peaks),
        ir.AttrFloat32("threshold", threshold),
        ir.AttrString("plugin_namespace", "prm"),
        ir.AttrString("plugin_version", "1"),
    ]
