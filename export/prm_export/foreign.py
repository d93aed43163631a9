"""An ONNX classifier and its labels, as the material of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from prm_export.emit import Emitter
from prm_export.errors import ExportError
from prm_export.intake.classifier import Foreign, import_classifier
from prm_export.intake.head import below_probabilities
from prm_export.intake.labels import read_labels
from prm_export.material import Material, Reference
from prm_export.oracle import Oracle
from prm_export.provenance import provenance
from prm_export.rules import RULES
from prm_export.verify import Check
from prm_proposals.presets import NO_NETWORK
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import resize

ONE_CLASS_A_PICTURE = RetrievalSettings(
    presence_from="softmax",
    presence=-3.0,
    peak_floor=0.0,
    score_offset=-7.0,
    score_scale=2.0,
)
"""For networks that were trained to tell one class a picture: a class lives from a chance of 5 % on.

A class that the network is certain of scores 1/2 where a proposal agrees with its region by 0.9 and covers a
tenth of the picture (the rest of what ``RefineSettings`` adds to its log-odds).
"""
SEVERAL_CLASSES_A_PICTURE = RetrievalSettings(presence=0.0, peak_floor=0.0)
"""For networks that end in a sigmoid per class."""
PEAKS = 256
TOLERANCE = 1e-3


def foreign_material(
    path: Path, labels: Path, preprocessing: Preprocessing, rules: str = "paper"
) -> tuple[Material, Foreign]:
    """Read, understand and rewrite a classifier.

    Args:
        path: The ONNX file.
        labels: Text file with the name of a class per line.
        preprocessing: How pictures become its input; nothing in the file says so.
        rules: How its peaks will be back-propagated, a key of ``prm_export.rules.RULES``.

    Raises:
        ExportError: If the file or its labels cannot be used.
    """
    classes = read_labels(labels)
    foreign = import_classifier(path, len(classes), preprocessing.multiple * 7, RULES[rules])
    several = foreign.head.probabilities == "Sigmoid"
    material = Material(
        classifier=foreign.classifier,
        reference=_by_torch(foreign.classifier, rules),
        classes=classes,
        preprocessing=preprocessing.model_copy(update={"multiple": foreign.multiple}),
        aggregation={"name": foreign.head.pooling or "average"},
        provenance=provenance(backbone=path.name),
        proposals=NO_NETWORK,
        retrieval=SEVERAL_CLASSES_A_PICTURE if several else ONE_CLASS_A_PICTURE,
        max_peaks=PEAKS,
    )
    return material, foreign


def check_scores(foreign: Foreign, frame: NDArray[np.uint8], preprocessing: Preprocessing) -> Check:
    """Hold the fully convolutional classifier to the file that it was made from, at the file's own size.

    With the head's pool put back (or, where it had none, at the one cell whose window is the whole picture),
    it has to give what the file gives.

    Args:
        foreign: The classifier.
        frame: Picture, RGB uint8 [H, W, 3].
        preprocessing: Mean and standard deviation to normalise with.
    """
    source, backend = foreign.source, create_backend("onnxruntime")
    mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
    normalised = ((resize(frame, source.height, source.width) - mean) / std).astype(np.float32)[None]
    image = np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))
    given = normalised if source.channels_last else image
    original = backend.compile(_logits(source.proto).SerializeToString())
    (expected,) = original.run({source.proto.graph.input[0].name: given}).values()
    (found,) = backend.compile(_pooled(foreign).SerializeToString()).run({"image": image}).values()
    row, column = ((side - 1) // 2 for side in found.shape[2:])
    scale = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    error = float(np.abs(found[0, :, row, column] - expected.ravel()).max() / scale)
    return Check("scores vs the file's own", error, TOLERANCE)


def _by_torch(classifier: onnx.ModelProto, rules: str) -> Reference:
    def run(image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        oracle = Oracle(classifier, np.zeros(3, np.float32), rules=rules)
        return oracle.run(image.numpy())["class_maps"].detach(), {}

    return run


def _pooled(foreign: Foreign) -> onnx.ModelProto:
    """The classifier with its head's pool in place, as long as it had one."""
    if foreign.head.pooling is None:
        return foreign.classifier
    model = ir.from_proto(foreign.classifier)
    features = next(
        (value for node in model.graph for value in node.outputs if value.name == foreign.head.features), None
    )
    if features is None:
        raise ExportError(f"the maps '{foreign.head.features}' were lost while the classifier was rewritten")
    emitter = Emitter()
    reduction = "ReduceMax" if foreign.head.pooling == "max" else "ReduceMean"
    pooled = emitter.op(reduction, features, emitter.int64(2, 3), keepdims=1)
    ir.convenience.replace_all_uses_with(features, pooled, replace_graph_outputs=True)
    emitter.nodes[-1].replace_input_with(0, features)
    producer = features.producer()
    if producer is not None:
        model.graph.insert_after(producer, emitter.nodes)
    if not pooled.name:
        pooled.name = "pooled"
    pooled.dtype = ir.DataType.FLOAT
    return ir.to_proto(model)


def _logits(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the softmax or sigmoid at its end, where differences would vanish."""
    model = ir.from_proto(proto)
    logits, _ = below_probabilities(model.graph.outputs[0])
    logits.dtype = ir.DataType.FLOAT
    model.graph.outputs[:] = [logits]
    return ir.to_proto(model)
