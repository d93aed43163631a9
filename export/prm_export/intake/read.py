"""Read an ONNX classifier of any make at one size, and say so where it cannot be what is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from prm_export.emit import OPSET
from prm_export.errors import ExportError
from prm_export.intake.precision import in_single_precision

USUAL_SIDE = 224
DEFAULT_DOMAIN = ("", "ai.onnx")


@dataclass(frozen=True)
class Source:
    """A classifier as it was found, at the one size that it is read at.

    Attributes:
        proto: The model: opset ``OPSET``, one float32 input of fixed shape, one output.
        height: Rows of its pictures.
        width: Columns of its pictures.
        channels_last: Whether it takes [1, H, W, 3] instead of [1, 3, H, W].
    """

    proto: onnx.ModelProto
    height: int
    width: int
    channels_last: bool

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of its input."""
        height, width = self.height, self.width
        return (1, height, width, 3) if self.channels_last else (1, 3, height, width)


def read_classifier(path: Path, classes: int, side: int | None = None) -> Source:
    """Read a classifier of pictures.

    Args:
        path: An ONNX file of any opset; weights may lie in files beside it.
        classes: How many scores it has to give.
        side: Size to read it at where it leaves height and width open.

    Raises:
        ExportError: If it cannot be read or converted, or is no classifier of RGB pictures.
    """
    try:
        proto = onnx.load(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be opened ({error.strerror or error})") from None
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ExportError(f"{path} is no ONNX model ({_first_line(error)})") from None
    if not proto.graph.node:
        raise ExportError(f"{path} is no ONNX model: it holds no graph")
    image = _image_input(path, proto)
    source = _placed(path, proto, image, side or USUAL_SIDE)
    fixed = onnx.helper.make_tensor_value_info(image.name, onnx.TensorProto.FLOAT, source.input_shape)
    del proto.graph.input[:], proto.graph.value_info[:]
    proto.graph.input.append(fixed)
    in_single_precision(proto)
    proto.ir_version = 10  # before 4, weights had to be inputs as well
    _keep_scores(path, proto, classes)
    return replace(source, proto=_converted(path, proto))


def _image_input(path: Path, proto: onnx.ModelProto) -> onnx.ValueInfoProto:
    weights = {tensor.name for tensor in proto.graph.initializer}
    used = {name for node in proto.graph.node for name in node.input}
    inputs = [value for value in proto.graph.input if value.name in used - weights]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        found = ", ".join(f"'{value.name}' {_shape_text(value)}" for value in inputs) or "none"
        raise ExportError(f"{path}: expected one input [N, 3, H, W] or [N, H, W, 3], found {found}")
    image: onnx.ValueInfoProto = inputs[0]
    return image


def _placed(path: Path, proto: onnx.ModelProto, image: onnx.ValueInfoProto, side: int) -> Source:
    dims = [max(dim.dim_value, 0) for dim in image.type.tensor_type.shape.dim]
    channels_last = dims[3] == 3 and dims[1] != 3
    channels, height, width = (dims[3], *dims[1:3]) if channels_last else (dims[1], *dims[2:])
    if channels not in (0, 3):
        raise ExportError(
            f"{path}: expected pictures of 3 channels, found input '{image.name}' {_shape_text(image)}"
        )
    return Source(proto, height or side, width or side, channels_last)


def _keep_scores(path: Path, proto: onnx.ModelProto, classes: int) -> None:
    """Keep the first output that has one number per class."""
    outputs = list(proto.graph.output)
    for value in outputs:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph.output
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred}
    fitting = [value for value in outputs if prod(sizes[value.name]) == classes]
    unknown = [value for value in outputs if not all(sizes[value.name]) or not sizes[value.name]]
    if not fitting and not unknown:
        found = ", ".join(f"'{name}' {size}" for name, size in sizes.items())
        raise ExportError(
            f"{path}: {classes} labels were given, but the outputs are {found}: the file of labels needs one "
            "line per output, a background class included"
        )
    del proto.graph.output[:]
    proto.graph.output.append((fitting or unknown)[0])


def _converted(path: Path, proto: onnx.ModelProto) -> onnx.ModelProto:
    opset = next((o.version for o in proto.opset_import if o.domain in DEFAULT_DOMAIN), 1)
    if opset == OPSET:
        return proto
    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(proto, OPSET)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise ExportError(
            f"{path}: opset {opset} cannot be converted to {OPSET} ({_first_line(error)}): export it with "
            f"opset {OPSET}"
        ) from None
    return converted


def _shape_text(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_value or dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
