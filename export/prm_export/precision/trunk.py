"""Which nodes of a forward graph belong to the network itself, and which were added by passes."""

from __future__ import annotations

import onnx_ir as ir

from prm_export.walks import ancestors

ADDED = ("class_scores", "peaks", "peak_scores", "gain_")
"""How the outputs begin that passes add."""


def trunk(model: ir.Model, *, features: bool) -> set[ir.Node]:
    """The nodes below the class response maps, without the layer that makes the maps.

    Args:
        model: A forward graph.
        features: Whether to count what only the feature maps and mask logits need.
    """
    own = [value for value in model.graph.outputs if not (value.name or "").startswith(ADDED)]
    M = own[0]
    wanted = own if features else [M]
    return set().union(*(ancestors(value) for value in wanted)) - {M.producer()}
