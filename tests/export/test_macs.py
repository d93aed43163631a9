"""Multiply-accumulates against counts by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from prm_export.macs import count_macs, shapes_for


def model(op_type: str, a: list[int], b: tuple[int, ...], **attributes: object) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op_type, ["a", "b"], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["free"] * len(a))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(b, np.float32), "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("op_type", "a", "b", "attributes", "expected"),
    [
        ("Conv", [1, 4, 6, 6], (8, 4, 3, 3), {"pads": [1] * 4}, 8 * 36 * 4 * 9),
        ("Conv", [2, 4, 6, 6], (4, 1, 3, 3), {"group": 4, "strides": [3, 3]}, 2 * 4 * 4 * 9),
        ("ConvTranspose", [1, 4, 6, 6], (4, 2, 2, 2), {"strides": [2, 2]}, 4 * 36 * 2 * 4),
        ("MatMul", [5, 7], (7, 3), {}, 5 * 7 * 3),
        ("Gemm", [7, 5], (7, 3), {"transA": 1}, 5 * 7 * 3),
        ("Relu", [5, 7], (1,), {}, 0),
    ],
)
def test_counts(
    op_type: str, a: list[int], b: tuple[int, ...], attributes: dict[str, object], expected: int
) -> None:
    graph = model(op_type, a, b, **attributes)
    if op_type == "Relu":
        del graph.graph.node[0].input[1]
    assert count_macs(graph, shapes_for(graph, {"a": tuple(a)})) == expected


def test_unknown_shapes_give_no_count() -> None:
    assert count_macs(model("MatMul", [5, 7], (7, 3)), {}) is None
