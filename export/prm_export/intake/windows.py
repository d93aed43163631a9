"""Sliding windows with explicit padding, valid for every picture size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import onnx_ir as ir

from prm_export.emit import Emitter, array_of, attributes_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.intake.rewrite import replace_node
from prm_export.reverse_path import PROBE_HEIGHT, PROBE_WIDTH, Shapes, infer_shapes

SLIDING = {"AveragePool", "Conv", "MaxPool"}


def pad_explicitly(model: ir.Model) -> ir.Model:
    """Write ``auto_pad`` and ``ceil_mode`` as the pads that they come to.

    Both depend on the size of the picture, but not among sizes that are multiples of 32, which is what a
    device feeds.

    Raises:
        ExportError: If they differ between two such sizes after all; names every such node.
    """
    upright = infer_shapes(model, PROBE_HEIGHT, PROBE_WIDTH)
    turned = infer_shapes(model, PROBE_WIDTH, PROBE_HEIGHT)
    faults = []
    for node in list(model.graph):
        attributes = attributes_of(node)
        automatic = str(attributes.get("auto_pad", "NOTSET")).startswith("SAME")
        if node.op_type not in SLIDING or not (automatic or attributes.get("ceil_mode", 0)):
            continue
        pads = _pads(node, upright)
        if pads is None or pads != _pads(node, turned) or len(node.outputs) > 1:
            faults.append(node_name(node))
            continue
        dropped = {"auto_pad", "ceil_mode"}
        explicit: dict[str, Any] = {name: v for name, v in attributes.items() if name not in dropped}
        replace_node(node, partial(_written, node=node, attributes={**explicit, "pads": pads}))
    if faults:
        raise ExportError(
            f"the padding of {', '.join(faults)} depends on the size of the picture: export the network with "
            "explicit pads"
        )
    return model


def _written(emitter: Emitter, node: ir.Node, attributes: Mapping[str, Any]) -> ir.Value:
    return emitter.op(node.op_type, *node.inputs, **attributes)


def _pads(node: ir.Node, shapes: Shapes) -> tuple[int, ...] | None:
    attributes = attributes_of(node)
    U, V = shapes.get(input_of(node).name or ""), shapes.get(node.outputs[0].name or "")
    weight = array_of(input_of(node, 1)) if node.op_type == "Conv" else None
    kernel = attributes.get("kernel_shape") or (weight.shape[2:] if weight is not None else ())
    if U is None or V is None or len(kernel) != 2:
        return None
    strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    before, after = [], []
    for axis in (0, 1):
        reach = (V[2 + axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        lacking = max(reach - U[2 + axis], 0)
        if attributes.get("ceil_mode", 0):
            given = attributes.get("pads", (0, 0, 0, 0))
            before.append(given[axis])
            after.append(max(lacking - given[axis], given[2 + axis]))
        else:
            more, less = (lacking + 1) // 2, lacking // 2
            upper = attributes["auto_pad"] == "SAME_UPPER"
            before.append(less if upper else more)
            after.append(more if upper else less)
    return (*before, *after)
