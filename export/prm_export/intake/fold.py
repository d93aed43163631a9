"""Decide everything that the picture's size decides: shapes, and what was computed from them."""

from __future__ import annotations

import onnx_ir as ir
from onnxscript import rewriter
from onnxscript.rewriter.rules.common import (
    dropout_inference_rule,
    dropout_zero_rule,
    expand_before_binary_op_rules,
)

from prm_export.emit import input_of
from prm_export.intake.rewrite import bypass
from prm_export.passes.optimize import optimize

# more than any weight has
UNLIMITED = 1 << 40
RULES = (dropout_inference_rule, dropout_zero_rule, *expand_before_binary_op_rules)
FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, None}


def fold(model: ir.Model, into_convolutions: bool = True) -> ir.Model:
    """Fold constants, batch norm, padding, dropout, and all arithmetic on shapes.

    Weights become initializers, however they were stored: as Constant nodes, transposed, made by
    ConstantOfShape, or behind an Identity.

    Args:
        model: A model whose input has a fixed shape; changed in place.
        into_convolutions: Whether batch norm and padding become part of the convolutions.
    """
    for node in list(model.graph):
        if node.op_type == "Cast" and node.inputs[0] in model.graph.inputs:
            bypass(node, input_of(node))  # pictures of bytes: Source declares them as floats
    for _ in range(2):
        optimize(
            model,
            into_convolutions,
            input_size_limit=UNLIMITED,
            output_size_limit=UNLIMITED,
            should_fold=lambda node: node.op_type == "ConstantOfShape" or None,
        )
        model = rewriter.rewrite(model, pattern_rewrite_rules=list(RULES))
    return model
