"""onnxscript's optimizer, with and without the rules that make one layer of two."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnx_ir.passes import common as common_passes
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules import common as rules

ROUNDS = 2
TIDY = (
    *rules.mul_by_1_rule.commute(),
    *rules.add_0_rule.commute(),
    rules.sub_0_rule,
    rules.div_by_1_rule,
    rules.cast_cast_rule,
    rules.cast_constant_of_shape_rule,
    rules.cast_constant_of_shape_without_value_rule,
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.materialize_reshape_shape_rule,
    rules.max_min_rule,
    rules.min_max_rule,
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.reshape_reshape_rule,
    rules.slice_split_rule,
    rules.squeeze_reshape_1d_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
)
"""What the optimizer rewrites beside fusing: nothing that two layers would become one by."""


def optimize(model: ir.Model, fuses: bool = True, **limits: Any) -> None:
    """Fold constants and shapes, and tidy up.

    Args:
        model: The model, changed in place.
        fuses: Whether a batch norm or padding becomes part of its convolution.
        limits: What constants to fold, see ``onnxscript.optimizer.optimize_ir``.
    """
    if fuses:
        optimizer.optimize_ir(model, **limits)
        return
    optimizer.inline(model)
    for _ in range(ROUNDS):
        optimizer.fold_constants(model, onnx_shape_inference=True, **limits)
        rewriter.rewrite(model, pattern_rewrite_rules=list(TIDY))
    common_passes.RemoveUnusedNodesPass()(model)
    common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common_passes.CommonSubexpressionEliminationPass()(model)
    common_passes.OutputFixPass()(model)
    common_passes.NameFixPass()(model)
