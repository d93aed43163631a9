"""All steps from a file to the classifier that the two graphs are built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from prm_export.classifier import INPUT
from prm_export.intake.affine import fold_affine
from prm_export.intake.fold import fold
from prm_export.intake.gates import name_gates
from prm_export.intake.head import Head, make_fully_convolutional
from prm_export.intake.layout import channels_first
from prm_export.intake.read import Source, read_classifier
from prm_export.intake.rewrite import value_shapes
from prm_export.intake.structure import route_plainly
from prm_export.intake.windows import pad_explicitly


@dataclass(frozen=True)
class Foreign:
    """A classifier that came as an ONNX file.

    Attributes:
        source: The file, as it was read.
        head: What its head was.
        classifier: The same network, fully convolutional: input ``image`` float32 [1, 3, H, W] with sides
            that are multiples of 32, output ``class_maps`` float32 [1, C, h, w].
    """

    source: Source
    head: Head
    classifier: onnx.ModelProto


def import_classifier(path: Path, classes: int, side: int | None = None, folds: bool = True) -> Foreign:
    """Bring a classifier of any exporter to the form that peak back-propagation works on.

    Args:
        path: The ONNX file.
        classes: How many classes it tells apart.
        side: Size to read it at where it leaves height and width open.
        folds: Whether a batch norm or padding becomes one layer with its convolution.

    Raises:
        ExportError: If it cannot be read, its head is not understood, or its padding depends on the size.
    """
    source = read_classifier(path, classes, side)
    model = fold(ir.from_proto(source.proto), folds)
    model = name_gates(channels_first(model, source))
    model = route_plainly(model, value_shapes(model))
    head = make_fully_convolutional(model, value_shapes(model), classes)
    model = fold_affine(model, value_shapes(model), folds)
    _free_sides(model, classes)
    model = pad_explicitly(model)
    RemoveUnusedNodesPass()(model)
    return Foreign(source, head, ir.to_proto(model))


def _free_sides(model: ir.Model, classes: int) -> None:
    image = model.graph.inputs[0]
    image.name, image.shape = INPUT, ir.Shape((1, 3, "height", "width"))
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    model.graph.outputs[0].shape = ir.Shape((1, classes, "rows", "columns"))
