"""Each weight once: what computes gains and walks has W⁺ twice, upright and turned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray

from prm_export.emit import Emitter, array_of, input_of
from prm_export.passes.weights import SMALLEST

Weight = NDArray[np.float32]
TURNS: tuple[tuple[Callable[[Weight], Weight], Callable[[Emitter, ir.Value], ir.Value]], ...] = (
    (lambda W: W, lambda _, value: value),
    (lambda W: W.swapaxes(0, 1), lambda emitter, value: emitter.op("Transpose", value, perm=[1, 0, 2, 3])),
    (lambda W: W.reshape(len(W), -1), lambda emitter, value: emitter.op("Flatten", value, axis=1)),
)
"""What the walk takes of a convolution's W⁺, and how it is made of it; engines do that once."""


def share_weights(model: ir.Model) -> ir.Model:
    """Make the walk's constants W⁺ of those that the normalisers are computed with.

    Where W itself has no other use, W⁺ is stored in its place.
    """
    evidence: defaultdict[int, list[ir.Node]] = defaultdict(list)
    for node in list(model.graph):
        W = array_of(input_of(node)) if node.op_type == "Relu" else None
        if W is not None and W.ndim == 4:
            evidence[W.size].append(node)
    for node in list(model.graph):
        constant = node.outputs[0]
        W = array_of(constant) if node.op_type in ("Constant", "Cast") else None
        if W is None or W.dtype != np.float32 or W.size < SMALLEST:
            continue
        for source in evidence[W.size]:
            if _made_of(model, constant, W, source):
                break
    for nodes in evidence.values():
        for node in nodes:
            _store_positive(node)
    common_passes.RemoveUnusedNodesPass()(model)
    return model


def _made_of(model: ir.Model, constant: ir.Value, W: Weight, source: ir.Node) -> bool:
    """Replace a constant by what is made of a W⁺, if it can be."""
    given = array_of(input_of(source))
    positive = None if given is None else np.maximum(given, 0)
    for turn, emit in TURNS:
        if positive is not None and np.array_equal(turn(positive), W):
            emitter = Emitter()
            made = emit(emitter, source.outputs[0])
            model.graph.insert_after(source, emitter.nodes)
            ir.convenience.replace_all_uses_with(constant, made)
            return True
    return False


def _store_positive(node: ir.Node) -> None:
    W = input_of(node)
    restoring = W.producer()
    stored = W if restoring is None else input_of(restoring)
    if stored.const_value is None or len(W.uses()) > 1 or len(stored.uses()) > 1:
        return
    stored.const_value = ir.tensor(np.maximum(stored.const_value.numpy(), 0), name=stored.name)
    ir.convenience.replace_all_uses_with(node.outputs[0], W)
