"""The layers of the autograd oracle: what torch computes forward, and where P goes on the way back.

``windows``, ``activations``, ``routing`` and ``gates`` say what each operator computes; ``paper`` and
``reference`` say what its backward pass hands down in place of a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

from prm_export.oracle_layers.layer import Operator
from prm_export.oracle_layers.paper import PAPER
from prm_export.oracle_layers.reference import REFERENCE

OPERATORS: Mapping[str, Mapping[str, Operator]] = {"paper": PAPER, "reference": REFERENCE}
"""By the name of the rules, see ``prm_export.rules.RULES``."""
