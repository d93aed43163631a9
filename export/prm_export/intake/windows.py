"""Sliding windows with explicit padding, valid for every picture size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import onnx_ir as ir

from prm_export.emit import Emitter, array_of, attributes_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.intake.rewrite import replace_node
from prm_export.shapes import Shapes, infer_shapes, probe_size

SLIDING = {"AveragePool", "Conv", "MaxPool"}


def pad_explicitly(model: ir.Model, multiple: int) -> ir.Model:
    """Write ``auto_pad`` and ``ceil_mode`` as the pads that they come to.

    Both depend on the size of the picture, but not among sizes that are multiples of what the network's
    strides come to, which is what a device feeds.

    Args:
        model: The classifier, changed in place.
        multiple: What the sides of all pictures are multiples of.

    Raises:
        ExportError: If they differ between two such sizes after all; names every such node.
    """
    height, width = probe_size(multiple)
    upright, turned = infer_shapes(model, height, width), infer_shapes(model, width, height)
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
        if attributes.get("ceil_mode", 0) and attributes.get("count_include_pad", 0):
            if any(attributes.get("pads", ())):
                faults.append(node_name(node))
                continue
            attributes = {**attributes, "count_include_pad": 0}  # what a window lacks is never counted
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
