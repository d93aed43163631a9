"""A classifier's ONNX graph as a torch module of ``nn.Conv2d``, to run what was written for torch on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from prm_runtime.console import PrmError


class TorchGraph(nn.Module):
    """Runs the operators that the shipped network consists of.

    Raises:
        PrmError: If the graph has another.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take over the weights; ``model`` has one input and one output."""
        super().__init__()
        self._input, self._output = model.graph.input[0].name, model.graph.output[0].name
        constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        self._nodes: list[tuple[onnx.NodeProto, Any]] = []
        self.convolutions = nn.ModuleList()
        for node in model.graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "Cast" and node.input[0] in constants:
                kind = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
                constants[node.output[0]] = constants[node.input[0]].astype(kind)
            elif node.op_type == "Conv":
                self._nodes.append((node, self._convolution(node, constants)))
            elif node.op_type == "Clip":
                self._nodes.append((node, [float(constants[name]) for name in node.input[1:3]]))
            elif node.op_type in ("Add", "Relu"):
                self._nodes.append((node, None))
            else:
                raise PrmError(f"the port of the published code does not know {node.op_type}")

    def forward(self, image: Tensor) -> Tensor:
        """Class response maps [N, C, h, w] of images [N, 3, H, W]."""
        values = {self._input: image}
        for node, extra in self._nodes:
            x = values[node.input[0]]
            if node.op_type == "Conv":
                padding, convolution = extra
                y = convolution(F.pad(x, padding) if any(padding) else x)
            elif node.op_type == "Clip":
                y = x.clamp(*extra)
            elif node.op_type == "Relu":
                y = x.relu()
            else:
                y = x + values[node.input[1]]
            values[node.output[0]] = y
        return values[self._output]

    def _convolution(
        self, node: onnx.NodeProto, constants: dict[str, np.ndarray[Any, Any]]
    ) -> tuple[list[int], nn.Conv2d]:
        """The padding that is left to do, as torch wants it, and the layer."""
        found = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        top, left, bottom, right = found.get("pads", [0, 0, 0, 0])
        symmetric = (top, left) == (bottom, right)
        weight = torch.from_numpy(constants[node.input[1]].astype(np.float32))
        groups = found.get("group", 1)
        layer = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=tuple(found.get("strides", [1, 1])),
            padding=(top, left) if symmetric else 0,
            dilation=tuple(found.get("dilations", [1, 1])),
            groups=groups,
            bias=len(node.input) > 2,
        )
        layer.weight = nn.Parameter(weight, requires_grad=False)
        if layer.bias is not None:
            bias = torch.from_numpy(constants[node.input[2]].astype(np.float32))
            layer.bias = nn.Parameter(bias, requires_grad=False)
        self.convolutions.append(layer)
        return ([0] * 4 if symmetric else [left, right, top, bottom]), layer
