"""Maps that are enlarged alike and added up: added first, and enlarged once.

A mask head adds up logits of several blocks at the size of the finest, and some blocks have one size.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from prm_export.emit import Emitter, attributes_of, input_of


def merge_resizes(model: ir.Model) -> ir.Model:
    """Rewrite ``(x + resize(a)) + resize(b)`` as ``x + resize(a + b)``; enlarging is linear."""
    for node in list(model.graph):
        if node.op_type != "Add":
            continue
        inner, enlarged = input_of(node, 0).producer(), input_of(node, 1).producer()
        if inner is None or inner.op_type != "Add" or len(inner.outputs[0].uses()) != 1:
            continue
        first = input_of(inner, 1).producer()
        if first is None or enlarged is None or not _alike(first, enlarged):
            continue
        emitter = Emitter()
        small = emitter.op("Add", input_of(first), input_of(enlarged))
        large = emitter.op("Resize", small, *enlarged.inputs[1:], **attributes_of(enlarged))
        total = emitter.op("Add", input_of(inner, 0), large)
        total.name = node.outputs[0].name
        model.graph.insert_before(node, emitter.nodes)
        ir.convenience.replace_all_uses_with(node.outputs[0], total, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
    common_passes.RemoveUnusedNodesPass()(model)
    return model


def _alike(first: ir.Node, second: ir.Node) -> bool:
    """Whether two nodes enlarge by the same constant factors in the same linear way, each for one use."""
    return (
        first.op_type == second.op_type == "Resize"
        and attributes_of(first) == attributes_of(second)
        and attributes_of(first).get("mode") == "linear"
        and len(first.inputs) == 3
        and list(first.inputs[1:]) == list(second.inputs[1:])
        and len(first.outputs[0].uses()) == len(second.outputs[0].uses()) == 1
    )
