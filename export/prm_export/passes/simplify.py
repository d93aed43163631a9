"""Fold what training left in a classifier: constants, batch norm, padding nodes, dropout."""

from __future__ import annotations

import onnx_ir as ir
from onnxscript import rewriter
from onnxscript.rewriter.rules.common import (
    dropout_inference_rule,
    dropout_zero_rule,
    fuse_batchnorm_into_conv_rule,
    fuse_pad_into_conv_rule,
)

from prm_export.passes.optimize import optimize

ALWAYS = (dropout_inference_rule, dropout_zero_rule)
INTO_CONVOLUTIONS = (fuse_batchnorm_into_conv_rule, fuse_pad_into_conv_rule)


def simplify(model: ir.Model, into_convolutions: bool = True) -> ir.Model:
    """Fold constants, batch norm and zero padding into the convolutions, and drop dropout.

    Peak back-propagation treats a convolution and its batch norm as one affine layer: its W⁺ is the positive
    part of the folded weight, so folding is not a mere optimisation.

    Args:
        model: The classifier.
        into_convolutions: False leaves batch norm and padding layers of their own.
    """
    optimize(model, into_convolutions)
    rewritten: ir.Model = rewriter.rewrite(
        model, pattern_rewrite_rules=[*ALWAYS, *(INTO_CONVOLUTIONS if into_convolutions else ())]
    )
    return rewritten
