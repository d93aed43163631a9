"""The reader of ONNX bytes against the onnx package, which the runtime does without."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tests.fixtures.colour_blobs import backprop_model, forward_model

from prm_runtime import onnx_wire
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.malformed import MalformedError
from prm_runtime.manifest import GraphSpec, TensorSpec

SMALL = (forward_model().SerializeToString(), backprop_model().SerializeToString())


def fields_leading_to_tensors(root: Descriptor) -> dict[str, dict[int, str]]:
    """Of every message type under ``root``, the fields in which there can be a TensorProto, by number."""
    types: dict[str, Descriptor] = {}

    def visit(kind: Descriptor) -> None:
        if kind.name not in types:
            types[kind.name] = kind
            for field in kind.fields:
                if field.message_type:
                    visit(field.message_type)

    visit(root)
    holders = {"TensorProto"}
    while True:
        grown = holders | {
            name
            for name, kind in types.items()
            if any(field.message_type and field.message_type.name in holders for field in kind.fields)
        }
        if grown == holders:
            break
        holders = grown
    return {
        name: {
            field.number: field.message_type.name
            for field in types[name].fields
            if field.message_type and field.message_type.name in holders
        }
        for name in holders - {"TensorProto"}
    }


def test_no_place_for_a_tensor_is_forgotten() -> None:
    expected = fields_leading_to_tensors(onnx.ModelProto.DESCRIPTOR)
    assert expected == onnx_wire.NESTED


def test_the_numbers_are_those_of_onnx() -> None:
    numbers = {field.name: field.number for field in TensorProto.DESCRIPTOR.fields}
    assert numbers["name"] == onnx_wire.TENSOR_NAME
    assert numbers["external_data"] == onnx_wire.EXTERNAL_DATA
    assert numbers["data_location"] == onnx_wire.DATA_LOCATION
    for number, name in onnx_wire.DTYPES.items():
        assert helper.tensor_dtype_to_np_dtype(number).name == name


def signature(model: onnx.ModelProto, file: str = "x.onnx") -> GraphSpec:
    def tensors(values) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                name=value.name,
                dtype=helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
                shape=tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim),
            )
            for value in values
        )

    return GraphSpec(file=file, inputs=tensors(model.graph.input), outputs=tensors(model.graph.output))


def tensors_of(message: Message) -> Iterator[TensorProto]:
    """Every tensor in a message, by asking protobuf for every field."""
    if isinstance(message, TensorProto):
        yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type:
            for part in value if descriptor.is_repeated else [value]:
                yield from tensors_of(part)


def test_the_shipped_graphs_are_as_their_manifest_says() -> None:
    bundle = Bundle.open(shipped_bundle())
    for graph in (bundle.manifest.forward, bundle.manifest.backprop):
        model = bundle.read(graph.file)
        assert signature(onnx.load_from_string(model), graph.file) == graph


@pytest.mark.parametrize("model", SMALL)
def test_a_graph_agrees_with_its_own_signature_only(model: bytes) -> None:
    spec = signature(onnx.load_from_string(model))
    onnx_wire.check_graph(spec, model)
    for index, tensor in enumerate(spec.outputs):
        other = tensor.model_copy(update={"shape": (*tensor.shape, 7)})
        outputs = (*spec.outputs[:index], other, *spec.outputs[index + 1 :])
        with pytest.raises(MalformedError, match=tensor.name):
            onnx_wire.check_graph(spec.model_copy(update={"outputs": outputs}), model)


@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    st.floats(0.5, 1),
)
@example(SMALL[0], [(0.0, 0x0A)], 1.0)
def test_whatever_onnx_sees_outside_is_refused(
    model: bytes, edits: list[tuple[float, int]], share: float
) -> None:
    content = bytearray(model[: round(len(model) * share)])
    for place, byte in edits:
        content[int(place * len(content))] = byte
    content += outside(content)
    try:
        parsed = onnx.load_from_string(bytes(content))
    except DecodeError:
        return
    is_outside = any(
        tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in tensors_of(parsed)
    )
    if is_outside:
        with pytest.raises(MalformedError):
            onnx_wire.check_self_contained("x.onnx", bytes(content))


def outside(seed: bytearray) -> bytes:
    """A second graph field with a tensor outside: protobuf merges it into the first."""
    tensor = TensorProto(name="stolen", data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights")
    graph = onnx.GraphProto(initializer=[tensor])
    return onnx.ModelProto(graph=graph).SerializeToString() if sum(seed) % 2 else b""


def test_a_graph_of_endless_parts_is_refused() -> None:
    parts = b"\x08\x01" * (onnx_wire.MAX_FIELDS + 1)
    with pytest.raises(MalformedError, match="more than 2,000,000 parts"):
        onnx_wire.check_self_contained("x.onnx", parts)


def test_depth_is_bounded() -> None:
    content = b""
    for _ in range(40):
        content = _field(5, _field(6, _field(1, content)))  # attribute, its graph, its node
    deep = _field(7, _field(1, content))
    with pytest.raises(MalformedError, match="nested more than 100 deep"):
        onnx_wire.check_self_contained("x.onnx", deep)


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
