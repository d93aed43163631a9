"""What the rewriting steps share."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir

from prm_export.emit import Emitter
from prm_export.errors import ExportError

Shapes = dict[str, tuple[int, ...]]


def value_shapes(model: ir.Model) -> Shapes:
    """Shapes of all values, as far as they follow from the input's."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    sizes = {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in (*graph.input, *graph.value_info, *graph.output)
    }
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return {name: shape for name, shape in sizes.items() if all(shape)} | weights


def replace_node(node: ir.Node, build: Callable[[Emitter], ir.Value]) -> ir.Value:
    """Replace a node of one used output by what ``build`` emits; its value takes over the name."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise ExportError(
            f"'{node.name}' lies inside a branch or loop: export the network without control flow"
        )
    emitter = Emitter()
    value = build(emitter)
    graph.insert_before(node, emitter.nodes)
    old = node.outputs[0]
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if emitter.nodes:
        value.name, value.type, value.shape = old.name, old.type, old.shape
    return value


def bypass(node: ir.Node, source: ir.Value) -> None:
    """Drop a node and let ``source`` take its output's place."""
    replace_node(node, lambda _: source)
