"""Which layers have no rule, so that all of them can be named at once."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from prm_export.emit import node_name
from prm_export.rules.base import Rules
from prm_export.walks import gate_of

DEFAULT_DOMAINS = ("", "ai.onnx")


def without_rule(nodes: Iterable[ir.Node], rules: Rules) -> list[ir.Node]:
    """The nodes that peak back-propagation cannot pass, in their order."""
    return [node for node in nodes if not _has_rule(node, rules)]


def no_rule_message(nodes: Iterable[ir.Node], rules: Rules) -> str:
    """Name them, and say what there is."""
    known = ", ".join(sorted(rules.operators))
    return (
        f"peak back-propagation has no rule for {', '.join(map(node_name, nodes))}: replace these layers; "
        f"rules exist for {known} (Mul: by a constant or the output of a sigmoid)"
    )


def _has_rule(node: ir.Node, rules: Rules) -> bool:
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in rules.operators:
        return False
    return node.op_type != "Mul" or gate_of(node) is not None
