"""All steps from a file to the classifier that the two graphs are built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from prm_export.classifier import INPUT
from prm_export.errors import ExportError
from prm_export.intake.affine import fold_affine
from prm_export.intake.fold import fold
from prm_export.intake.gates import name_gates
from prm_export.intake.head import PROBABILITIES, Head, HeadError, make_fully_convolutional
from prm_export.intake.head_layers import LAYERS
from prm_export.intake.layout import channels_first
from prm_export.intake.means import merge_means
from prm_export.intake.movement import MOVEMENTS
from prm_export.intake.read import Source, read_classifier
from prm_export.intake.rewrite import value_shapes
from prm_export.intake.strides import size_multiple
from prm_export.intake.structure import route_plainly
from prm_export.intake.windows import pad_explicitly
from prm_export.rules import PAPER
from prm_export.rules.base import Rules
from prm_export.rules.coverage import DEFAULT_DOMAINS, no_rule_message, without_rule
from prm_export.walks import GATES, ancestors, carrying_inputs, descendants


@dataclass(frozen=True)
class Foreign:
    """A classifier that came as an ONNX file.

    Attributes:
        source: The file, as it was read.
        head: What its head was.
        classifier: The same network, fully convolutional: input ``image`` float32 [1, 3, H, W] with sides
            that are multiples of ``multiple``, output ``class_maps`` float32 [1, C, h, w].
        multiple: What the sides of pictures have to be multiples of, 32 or more.
    """

    source: Source
    head: Head
    classifier: onnx.ModelProto
    multiple: int


def import_classifier(path: Path, classes: int, side: int | None = None, rules: Rules = PAPER) -> Foreign:
    """Bring a classifier of any exporter to the form that peak back-propagation works on.

    Args:
        path: The ONNX file.
        classes: How many classes it tells apart.
        side: Size to read it at where it leaves height and width open.
        rules: How its peaks will be back-propagated.

    Raises:
        ExportError: If it cannot be read, or its padding depends on the size; if its head is not understood
            or layers have no rule, naming all of both.
    """
    source = read_classifier(path, classes, side)
    model = fold(ir.from_proto(source.proto), rules.folds)
    model = name_gates(channels_first(model, source))
    model = route_plainly(model, value_shapes(model))
    model = merge_means(model, value_shapes(model))
    head = _without_faults(model, classes, rules)
    _free_sides(model, classes)
    multiple = size_multiple(model)
    model = pad_explicitly(model, multiple)
    RemoveUnusedNodesPass()(model)
    return Foreign(source, head, ir.to_proto(model), multiple)


def _without_faults(model: ir.Model, classes: int, rules: Rules) -> Head:
    """Rewrite the head and the scales per channel, or say all that stands in the way."""
    head, faults, top = None, [], model.graph.outputs[0]
    if any(node.domain not in DEFAULT_DOMAINS for node in model.graph):
        # shapes end there, and with them what can be said of each layer: name what no step knows
        raise ExportError(no_rule_message([n for n in model.graph if not _is_known(n, rules)], rules))
    try:
        head = make_fully_convolutional(model, value_shapes(model), classes)
        top = model.graph.outputs[0]
    except HeadError as error:
        faults.append(str(error))
        top = error.features or top
    fold_affine(model, value_shapes(model), rules.folds)
    carrying = ancestors(top, carrying_inputs) & descendants(model.graph.inputs[0], carrying_inputs)
    missing = without_rule([node for node in model.graph if node in carrying], rules)
    if missing:
        faults.append(no_rule_message(missing, rules))
    if head is None or faults:
        raise ExportError("; ".join(faults))
    return head


def _is_known(node: ir.Node, rules: Rules) -> bool:
    known = {*rules.operators, *LAYERS, *GATES, *PROBABILITIES, *MOVEMENTS, "Constant", "Split", "Sum"}
    return node.domain in DEFAULT_DOMAINS and node.op_type in known


def _free_sides(model: ir.Model, classes: int) -> None:
    image = model.graph.inputs[0]
    image.name, image.shape = INPUT, ir.Shape((1, 3, "height", "width"))
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    model.graph.outputs[0].shape = ir.Shape((1, classes, "rows", "columns"))
