"""How peak back-propagation (Eq. 4, 5) passes each operator: one rule per operator.

Instead of the visiting probability P the reverse pass carries G = P / U⁺, with U⁺ = relu(U). A layer that
distributes P(V) in proportion to U⁺ W⁺ then reads

    R = V⁺ / (conv(U⁺, W⁺) + ε)        the gain: one number per output, the same for all peaks of a frame
    G_U = convT(G_V · R, W⁺)           linear in G_V

so a rule is two functions: ``gain`` emits R into the forward graph, ``propagate`` emits G_V · R -> G_U into
the reverse graph. The rules of the code that was published with the paper differ, see ``reference``.
"""

from __future__ import annotations

from prm_export.rules import (
    activation,
    add,
    convolution,
    pooling,
    resize,
    routing,
    scale,
    structure,
    transposed,
)
from prm_export.rules.base import Rules
from prm_export.rules.reference import REFERENCE
from prm_export.walks import KEEP_EVIDENCE, SQUASHING

PAPER = Rules(
    name="paper",
    operators={
        **dict.fromkeys(SQUASHING, activation.SQUASHING),
        **dict.fromkeys(KEEP_EVIDENCE, activation.KEEPING),
        "Add": add.RULE,
        "AveragePool": pooling.RULE,
        "Concat": structure.CONCAT,
        "Conv": convolution.RULE,
        "ConvTranspose": transposed.RULE,
        "Dropout": structure.IDENTITY,
        "Gather": routing.GATHER,
        "Identity": structure.IDENTITY,
        "MaxPool": pooling.RULE,
        "Mul": scale.RULE,
        "Pad": structure.PAD,
        "Resize": resize.RULE,
        "Slice": routing.SLICE,
    },
    carries_gain=True,
    folds=True,
)
RULES = {rules.name: rules for rules in (PAPER, REFERENCE)}
