"""Fold what training left in a classifier: constants, batch norm, padding nodes, dropout."""

from __future__ import annotations

import onnx_ir as ir
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules.common import (
    dropout_inference_rule,
    dropout_zero_rule,
    fuse_batchnorm_into_conv_rule,
    fuse_pad_into_conv_rule,
)

RULES = (dropout_inference_rule, dropout_zero_rule, fuse_batchnorm_into_conv_rule, fuse_pad_into_conv_rule)


def simplify(model: ir.Model) -> ir.Model:
    """Fold constants, batch norm and zero padding into the convolutions, and drop dropout.

    Peak back-propagation treats a convolution and its batch norm as one affine layer: its W⁺ is the positive
    part of the folded weight, so folding is not a mere optimisation.
    """
    optimizer.optimize_ir(model)
    rewritten: ir.Model = rewriter.rewrite(model, pattern_rewrite_rules=list(RULES))
    return rewritten
