from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from prm_export.emit import Emitter, array_of, constant_of, input_of, node_name
from prm_export.errors import ExportError


def test_constants_are_read_through_the_cast_that_stores_them() -> None:
    emitter = Emitter()
    half = emitter.constant([1.5, -2], np.float16)
    restored = emitter.op("Cast", half, to=ir.DataType.FLOAT)
    weight = ir.val("weight", const_value=ir.tensor(np.float32([3])))
    found = array_of(restored)
    assert found is not None
    assert (found.tolist(), found.dtype) == ([1.5, -2], np.float32)
    assert array_of(weight) == [3]


def test_what_is_computed_is_no_constant() -> None:
    emitter = Emitter()
    image = ir.val("image")
    total = emitter.op("Add", image, emitter.constant(1))
    assert array_of(image) is None
    assert array_of(total) is None
    assert array_of(emitter.op("Cast", total, to=ir.DataType.FLOAT)) is None
    node = ir.Node("", "Conv", [image, total], name="first")
    with pytest.raises(ExportError, match="Conv 'first': input 1 has to be a constant, but it is computed"):
        constant_of(node, 1)


@pytest.mark.parametrize("inputs", [[], [None]])
def test_a_node_without_its_input_is_named(inputs: list[None]) -> None:
    with pytest.raises(ExportError, match="prm::Odd 'x' lacks its input 0"):
        input_of(ir.Node("prm", "Odd", inputs, name="x"))


def test_names_for_people() -> None:
    assert node_name(ir.Node("", "Conv", [], name="first")) == "Conv 'first'"
