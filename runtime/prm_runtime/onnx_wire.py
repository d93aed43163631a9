"""What a bundle's reader has to know of an ONNX file before an engine sees it, read from its bytes.

The base install has no ``onnx`` package, and engines open the files that a graph names as a matter of course.
Of protobuf's wire format this reads what those two questions take: which inputs and outputs a graph has, and
whether any tensor in it keeps its values in another file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, NoReturn

from prm_runtime.malformed import MalformedError
from prm_runtime.manifest import GraphSpec, TensorSpec

MAX_DEPTH: Final = 100  # of messages in messages, protobuf's own limit
MAX_FIELDS: Final = 2_000_000  # the shipped graphs have 30,000

TENSOR: Final = "TensorProto"
NESTED: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: TENSOR, 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: TENSOR,
        6: "GraphProto",
        10: TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: TENSOR, 2: TENSOR},
}
"""Fields of each message type that lead to tensors, by number."""
TENSOR_NAME, EXTERNAL_DATA, DATA_LOCATION = 8, 13, 14

DTYPES: Final = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip
"""numpy's name of each element type that an input or output can have."""

_VARINT, _BYTES = 0, 2  # wire types
_FIXED = {1: 8, 5: 4}  # bytes of numbers of fixed width


def check_graph(graph: GraphSpec, model: bytes) -> None:
    """Hold an ONNX model to the inputs and outputs that a manifest gives it.

    Args:
        graph: What the manifest says.
        model: Content of the file.

    Raises:
        MalformedError: If they differ, or the bytes are no ONNX model.
    """
    inputs, outputs = read_signature(graph.file, model)
    for kind, found, expected in (("inputs", inputs, graph.inputs), ("outputs", outputs, graph.outputs)):
        for said, is_ in zip_longest(expected, found):
            if said != is_:
                raise MalformedError(
                    f"the {kind} of {graph.file} are not the manifest's: expected {_described(said)}, found "
                    f"{_described(is_)}; export the bundle again"
                )


def read_signature(name: str, model: bytes) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Inputs and outputs of an ONNX model, in its order.

    Args:
        name: What the errors call it.
        model: Content of the file.

    Raises:
        MalformedError: If the bytes are no ONNX model.
    """
    graphs = _Message(name, memoryview(model)).nested(7)
    inputs, outputs = (
        [_tensor_spec(value) for graph in graphs for value in graph.nested(number)] for number in (11, 12)
    )
    return inputs, outputs


def check_self_contained(name: str, model: bytes) -> None:
    """Refuse a model of which any tensor, however deep, keeps its values in another file.

    Args:
        name: What the errors call it.
        model: An ONNX model.

    Raises:
        MalformedError: With the name of such a tensor, or if the bytes are no ONNX model.
    """
    _check_tensors(_Message(name, memoryview(model)), "ModelProto", 0)


def _check_tensors(message: _Message, kind: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        message.fail(f"nested more than {MAX_DEPTH} deep")
    if kind == TENSOR:
        _check_tensor(message)
        return
    nested = NESTED[kind]
    for number, value in message.fields():
        if number in nested:
            _check_tensors(message.within(value), nested[number], depth + 1)


def _check_tensor(tensor: _Message) -> None:
    name, is_outside = "", False
    for number, value in tensor.fields():
        if number == TENSOR_NAME:
            name = tensor.text(value)
        is_outside |= number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)
    if is_outside:
        raise MalformedError(
            f"the values of tensor {name!r} in {tensor.file} are in another file; export the bundle again "
            "with all weights inside"
        )


def _tensor_spec(value: _Message) -> TensorSpec:
    name = "".join(value.texts(1))
    dtype, shape = "", list[int | str]()
    for tensor in (tensor for type_ in value.nested(2) for tensor in type_.nested(1)):
        for number, part in tensor.fields():
            if number == 1:
                dtype = DTYPES.get(part, f"type {part}") if isinstance(part, int) else ""
            elif number == 2:
                shape += map(_dimension, tensor.within(part).nested(1))
    return TensorSpec(name=name, dtype=dtype, shape=tuple(shape))


def _dimension(dim: _Message) -> int | str:
    size: int | str = 0
    for number, value in dim.fields():
        if number == 1 and isinstance(value, int):
            size = value
        elif number == 2:
            size = dim.text(value)
    return size


def _described(tensor: TensorSpec | None) -> str:
    if tensor is None:
        return "none"
    text = f"{tensor.dtype} {tensor.name!a} {list(tensor.shape)!a}"
    return text if len(text) <= 100 else f"{text[:100]}…"


@dataclass
class _Budget:
    fields: int = MAX_FIELDS


@dataclass(frozen=True)
class _Message:
    """A protobuf message, undecoded.

    Attributes:
        file: Name of the file that it is from.
        content: Its bytes.
        budget: What is left to read, shared with the messages in it.
    """

    file: str
    content: memoryview
    budget: _Budget = field(default_factory=_Budget)

    def fields(self) -> Iterator[tuple[int, int | memoryview]]:
        """Number and value of each field: an integer (0 if of fixed width: none is needed) or bytes."""
        position, end = 0, len(self.content)
        while position < end:
            self.budget.fields -= 1
            if self.budget.fields < 0:
                self.fail(f"of more than {MAX_FIELDS:,} parts")
            tag, position = self._varint(position)
            kind = tag & 7
            if kind == _VARINT:
                number, position = self._varint(position)
                yield tag >> 3, number
                continue
            if kind == _BYTES:
                size, position = self._varint(position)
            else:
                size = _FIXED.get(kind, end)
            if position + size > end or tag < 8:
                self.fail("cut off, damaged or no ONNX at all")
            yield tag >> 3, self.content[position : position + size] if kind == _BYTES else 0
            position += size

    def nested(self, number: int) -> list[_Message]:
        """The messages in one field."""
        return [self.within(value) for found, value in self.fields() if found == number]

    def texts(self, number: int) -> list[str]:
        """The strings in one field."""
        return [self.text(value) for found, value in self.fields() if found == number]

    def within(self, value: int | memoryview) -> _Message:
        """The message that is the value of a field."""
        return _Message(self.file, self._bytes(value), self.budget)

    def text(self, value: int | memoryview) -> str:
        """The string that is the value of a field."""
        try:
            return str(self._bytes(value), "utf-8")
        except UnicodeDecodeError:
            self.fail("damaged: a name is not UTF-8")

    def fail(self, what: str) -> NoReturn:
        """Say what is wrong with it."""
        raise MalformedError(f"{self.file} is {what}; copy or export the bundle again")

    def _bytes(self, value: int | memoryview) -> memoryview:
        if isinstance(value, int):
            self.fail("damaged or no ONNX at all")
        return value

    def _varint(self, position: int) -> tuple[int, int]:
        number = 0
        if position < len(self.content) and (byte := self.content[position]) < 0x80:
            return byte, position + 1  # most are that short, and the loop is slow
        for length, byte in enumerate(self.content[position : position + 10], start=1):
            number |= (byte & 0x7F) << 7 * (length - 1)
            if byte < 0x80:
                return number, position + length
        return self.fail("cut off, damaged or no ONNX at all")
