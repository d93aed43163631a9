"""The head of a classifier, turned into convolutions: it answers per cell instead of per picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from prm_export.emit import Emitter, array_of, attributes_of, constant_of, input_of, node_name
from prm_export.errors import ExportError
from prm_export.intake.head_layers import LAYERS, Cellwise, Known
from prm_export.intake.movement import MOVEMENTS
from prm_export.intake.rewrite import Shapes
from prm_export.walks import ACTIVATIONS, ancestors, descendants, separators

PROBABILITIES = {"LogSoftmax", "Sigmoid", "Softmax"}
POOLS = {
    "AveragePool": "average",
    "GlobalAveragePool": "average",
    "GlobalMaxPool": "max",
    "MaxPool": "max",
    "ReduceMax": "max",
    "ReduceMean": "average",
    "ReduceSum": "average",
}


@dataclass(frozen=True)
class Head:
    """What was found above the last feature maps.

    Attributes:
        features: Name of the maps that the head begins with.
        layers: Operators of the head, for the user to recognise it.
        pooling: How it pooled the maps, by the name of an aggregation in ``prm_train.aggregation``; None
            where a layer looked at all cells at once.
        probabilities: The operator that made probabilities of its scores, if there was one.
    """

    features: str
    layers: tuple[str, ...]
    pooling: str | None
    probabilities: str | None


class HeadError(ExportError):
    """A head that has no cell-wise form.

    Args:
        message: What is wrong with it.
        features: The maps that it begins with, if any were found.
    """

    def __init__(self, message: str, features: ir.Value | None = None) -> None:
        super().__init__(message)
        self.features = features


def make_fully_convolutional(model: ir.Model, shapes: Shapes, classes: int) -> Head:
    """Let a classifier give class response maps M [1, C, h, w] instead of scores [1, C].

    The head is whatever follows the last maps that all paths from the picture run through. Its pool is
    dropped; its fully connected layers become 1×1 convolutions, or where there is no pool convolutions as
    large as the maps were, padded so that M keeps their size. A last softmax or sigmoid is taken off. In
    which order a layer takes its numbers is not guessed: an array of indices runs through the head.

    Args:
        model: The classifier; changed in place.
        shapes: Shapes of its values at the size that it was made for.
        classes: How many classes it tells apart.

    Raises:
        HeadError: If there are no maps, or the head holds what has no cell-wise form (naming all of it).
        ExportError: If it ends in another number of scores.
    """
    logits, probabilities = below_probabilities(model.graph.outputs[0])
    features = _last_maps(model.graph.inputs[0], logits, shapes)
    inside = descendants(features) & ancestors(logits)
    nodes = [node for node in model.graph if node in inside]
    emitter = Emitter()
    known = _apply_cellwise(emitter, nodes, features, shapes[features.name or ""])
    M = _in_order(emitter, known[logits], classes)
    if not _is_plain(M):
        # a walk begins below a 1×1 layer: here one that changes nothing
        identity = np.eye(classes, dtype=np.float32)[:, :, None, None]
        M = emitter.op("Conv", M, emitter.constant(identity), kernel_shape=(1, 1))
    model.graph.extend(emitter.nodes)
    M.name, M.dtype = "class_maps", ir.DataType.FLOAT
    model.graph.outputs[:] = [M]
    layers = tuple(node.op_type for node in nodes)
    pooling = next((POOLS[op_type] for op_type in layers if op_type in POOLS), None)
    return Head(features.name or "", layers, pooling, probabilities)


def below_probabilities(value: ir.Value) -> tuple[ir.Value, str | None]:
    """The scores that the last softmax or sigmoid is applied to, if there is one."""
    below: ir.Value | None = value
    while below is not None:
        producer = below.producer()
        if producer is not None and producer.op_type in PROBABILITIES:
            return input_of(producer), producer.op_type
        below = input_of(producer) if producer is not None and producer.op_type in MOVEMENTS else None
    return value, None


def _last_maps(image: ir.Value, logits: ir.Value, shapes: Shapes) -> ir.Value:
    """The last value that all paths run through and that has cells, or is pooled."""
    for value in reversed(separators(image, logits)):
        shape, producer = shapes.get(value.name or "", ()), value.producer()
        if producer is None or producer.op_type in MOVEMENTS or len(shape) != 4:
            continue
        if shape[2:] != (1, 1) or any(node.op_type in POOLS for node in value.consumers()):
            return value
    raise HeadError(
        "no feature maps [1, C, h, w] were found that the scores are made of: the model is no convolutional "
        "classifier"
    )


def _apply_cellwise(
    emitter: Emitter, nodes: list[ir.Node], features: ir.Value, shape: tuple[int, ...]
) -> Known:
    known = {features: Cellwise(features, np.arange(np.prod(shape)).reshape(shape), (shape[2], shape[3]))}
    faults, lost = [], set[ir.Value]()
    for node in nodes:
        output = node.outputs[0]
        layer = None if node.domain else LAYERS.get(node.op_type)
        found = None
        if not any(value in lost for value in node.inputs):
            found = None if layer is None else layer(emitter, node, known)
            if found is None:
                faults.append(node_name(node))
        if found is None:
            lost.add(output)
        else:
            known[output] = found
    if faults:
        raise HeadError(f"the head cannot be applied cell by cell because of {', '.join(faults)}", features)
    return known


def _in_order(emitter: Emitter, scores: Cellwise, classes: int) -> ir.Value:
    """The maps in the order of the classes."""
    order = scores.indices.ravel()
    if scores.sides != (1, 1) or len(order) != classes:
        raise ExportError(f"{classes} labels were given, but the classifier gives {len(order)} scores")
    if np.array_equal(order, np.arange(classes)):
        return scores.value
    return emitter.op("Gather", scores.value, emitter.int64(*order.tolist()), axis=1)


def _is_plain(M: ir.Value) -> bool:
    """Whether M comes out of a 1×1 convolution, maybe through an activation."""
    producer = M.producer()
    while producer is not None and producer.op_type in ACTIVATIONS:
        producer = input_of(producer).producer()
    if producer is None or producer.op_type != "Conv" or array_of(input_of(producer, 1)) is None:
        return False
    plain = constant_of(producer, 1).shape[2:] == (1, 1) and attributes_of(producer).get("group", 1) == 1
    attributes = attributes_of(producer)
    return plain and not any(attributes.get("pads", ())) and set(attributes.get("strides", (1,))) == {1}
