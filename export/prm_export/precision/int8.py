"""int8: the trunk's convolutions and sums compute on bytes, with ranges calibrated on pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from prm_export.emit import Emitter, constant_of, input_of
from prm_export.passes.weights import store_half
from prm_export.precision.trunk import trunk

OPERATORS = ["Conv", "Add", "Clip", "Relu", "MaxPool"]
AT_ONCE = 4  # pictures whose activations are kept in memory


def to_int8(
    forward: onnx.ModelProto, classifier: onnx.ModelProto, images: Sequence[NDArray[np.float32]]
) -> onnx.ModelProto:
    """A forward graph whose trunk is quantised: static QDQ, weights int8 per channel, activations uint8.

    Class maps, features and mask logits are computed in float32 from what the trunk leaves, and so are the
    gain maps: the activations and weights that they are made of are the quantised ones, so that evidence and
    normalisers belong together.

    Args:
        forward: The graph, with weights rounded to bytes.
        classifier: The part of it that makes the class maps; values have the same names.
        images: Network inputs to calibrate with, float32 [1, 3, H, W].
    """
    nodes = [node.name or "" for node in trunk(ir.from_proto(forward), features=False)]
    with _quiet():
        quantizer = QDQQuantizer(
            forward,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=calibrate(classifier, images),
            nodes_to_quantize=sorted(nodes),
            nodes_to_exclude=[],
            op_types_to_quantize=OPERATORS,
            extra_options={"WeightSymmetric": True},
        )
        quantized = quantizer.quantize_model()
    del quantized.graph.value_info[:]
    model = ir.from_proto(quantized)
    _fold_weights_of_normalisers(model)
    model = store_half(model)  # what is left of float32: heads and taps
    model.graph.sort()
    common_passes.RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def calibrate(classifier: onnx.ModelProto, images: Sequence[NDArray[np.float32]]) -> TensorsData:
    """The range of every value of the classifier over the images."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.onnx"
        onnx.save_model(classifier, path)
        calibrator = create_calibrator(
            path,
            OPERATORS,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
        )
        for start in range(0, len(images), AT_ONCE):
            calibrator.collect_data(_Images(images[start : start + AT_ONCE]))
        return calibrator.compute_data()


class _Images(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    def __init__(self, images: Sequence[NDArray[np.float32]]) -> None:
        self._rest: Iterator[NDArray[np.float32]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._rest, None)
        return None if image is None else {"image": image}


def _fold_weights_of_normalisers(model: ir.Model) -> None:
    """Restore W for W⁺ by a product that engines fold; they compute a DequantizeLinear on every frame."""
    for node in list(model.graph):
        if node.op_type != "Relu" or (source := input_of(node).producer()) is None:
            continue
        if source.op_type != "DequantizeLinear" or input_of(source).const_value is None:
            continue
        scale = constant_of(source, 1)
        emitter = Emitter()
        integers = emitter.op("Cast", input_of(source), to=ir.DataType.FLOAT)
        restored = emitter.op("Mul", integers, emitter.constant(scale.reshape(-1, 1, 1, 1)))
        model.graph.insert_before(node, emitter.nodes)
        node.replace_input_with(0, restored)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer warns of what it leaves alone on purpose."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
