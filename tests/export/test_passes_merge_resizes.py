"""Maps that are enlarged alike and added up."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from prm_export.passes.merge_resizes import merge_resizes
from prm_runtime.backends import create_backend


def model(second: float = 2.0, mode: str = "linear") -> onnx.ModelProto:
    """(x + resize(a)) + resize(b)."""
    scales = {"twice": np.float32([1, 1, 2, 2]), "second": np.float32([1, 1, second, second])}
    same = "twice" if second == 2 else "second"
    nodes = [
        helper.make_node("Resize", ["a", "", "twice"], ["large_a"], mode="linear"),
        helper.make_node("Resize", ["b", "", same], ["large_b"], mode=mode),
        helper.make_node("Add", ["x", "large_a"], ["inner"]),
        helper.make_node("Add", ["inner", "large_b"], ["total"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, None, None]) for name in "xab"]
    output = helper.make_tensor_value_info("total", TensorProto.FLOAT, [1, 2, None, None])
    initializers = [numpy_helper.from_array(values, name) for name, values in scales.items()]
    graph = helper.make_graph(nodes, "sum", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(given: onnx.ModelProto, second: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(0)
    sizes = {"x": (8, 12), "a": (4, 6), "b": (8 // second, 12 // second)}
    inputs = {name: noise.normal(size=(1, 2, *size)).astype(np.float32) for name, size in sizes.items()}
    return create_backend("onnxruntime", 1).compile(given.SerializeToString()).run(inputs)["total"]


def resizes(given: onnx.ModelProto) -> int:
    return sum(node.op_type == "Resize" for node in given.graph.node)


def test_what_is_enlarged_alike_is_enlarged_once() -> None:
    before = model()
    after = ir.to_proto(merge_resizes(ir.from_proto(before)))
    assert (resizes(before), resizes(after)) == (2, 1)
    np.testing.assert_allclose(run(after, 2), run(before, 2), atol=1e-6)


@pytest.mark.parametrize(("second", "mode"), [(4, "linear"), (2, "nearest")])
def test_what_is_enlarged_otherwise_stays(second: int, mode: str) -> None:
    before = model(second, mode)
    after = ir.to_proto(merge_resizes(ir.from_proto(before)))
    assert resizes(after) == 2
    np.testing.assert_array_equal(run(after, second), run(before, second))
