"""Peak back-propagation by autograd: slow, obvious, no kin of the graphs.

Every operator of a classifier is run by torch, and its backward pass hands down visiting probabilities P
instead of gradients. Exports verify themselves against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

from prm_export.errors import ExportError
from prm_export.oracle_layers import OPERATORS
from prm_export.oracle_layers.layer import Layer
from prm_export.passes.shares import SMALLEST_MASS
from prm_export.share_kernels import NO_SPREAD, ShareKernels


class Oracle:
    """A classifier run by torch, whose backward pass is peak back-propagation.

    Args:
        classifier: ONNX model; its first output is M. By the paper's rules batch norm has to be folded.
        image_minimum: Smallest possible value per channel of the normalised image, float32 [3].
        dtype: float32, or float64 for tests of exactness.
        rules: By which rules, a key of ``prm_export.rules.RULES``.

    Raises:
        ExportError: If it holds an operator that the oracle does not know.
    """

    def __init__(
        self,
        classifier: onnx.ModelProto,
        image_minimum: NDArray[np.float32],
        dtype: torch.dtype = torch.float32,
        rules: str = "paper",
    ) -> None:
        self._graph = classifier.graph
        self._minimum = torch.tensor(image_minimum, dtype=dtype).view(1, -1, 1, 1)
        self._dtype = dtype
        self._operators = OPERATORS[rules]
        unknown = sorted({node.op_type for node in self._graph.node} - set(self._operators) - {"Constant"})
        if unknown:
            raise ExportError(f"the oracle cannot run {', '.join(unknown)}")

    def run(self, image: NDArray[np.float32]) -> dict[str, Tensor]:
        """All values of the graph for an image float32 [1, 3, H, W], with autograd on."""
        x = torch.tensor(image, dtype=self._dtype).requires_grad_()
        values: dict[str, Any] = {"": None, self._graph.input[0].name: x}
        layers: dict[str, Layer] = {}
        for tensor in self._graph.initializer:
            values[tensor.name] = self._constant(tensor)
        for node in self._graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                values[node.output[0]] = self._constant(attributes["value"])
                continue
            inputs = [values[name] for name in node.input]
            evidence = [
                None if U is None else (U - self._minimum if U is x else U).detach().relu() for U in inputs
            ]
            sources = [layers.get(name) for name in node.input]
            layer = Layer(node.op_type, inputs, sources, evidence, attributes)
            layers[node.output[0]] = layer
            values[node.output[0]] = self._operators[node.op_type](layer)
        return values

    def response_map(
        self, values: Mapping[str, Tensor], peak: tuple[int, int, int], stop: str
    ) -> NDArray[Any]:
        """The Peak Response Map of a peak (class, row, column) at the value ``stop``: float [h, w], sum 1."""
        (P,) = self.walk(values, peak, stop)
        prm = of_mass_one(P.sum((0, 1)).relu())  # gradients may be negative
        result: NDArray[Any] = prm.numpy()
        return result

    def shared_maps(
        self,
        values: Mapping[str, Tensor],
        peaks: Sequence[tuple[int, int, int]],
        split: str,
        stop: str,
        kernels: ShareKernels = NO_SPREAD,
    ) -> NDArray[Any]:
        """Peak Response Maps by share splitting: float [P, h, w], each of sum 1.

        The peaks are walked apart down to the value ``split``, from there once together, and

            PRM_n = fine · up(coarse_n) / Σ_m up(coarse_m)

        with bilinear ``up``; where no coarse map reaches, all share alike. Coarse maps are what ``kernels``
        make of the probability at the split.
        """
        apart = [of_mass_one(self.walk(values, peak, split)[0]) for peak in peaks]
        together = torch.stack(apart).sum(0)
        (below,) = torch.autograd.grad(values[split], values[stop], together, retain_graph=True)
        fine = below.sum((0, 1))
        coarse = torch.stack([spread(P, kernels)[0, 0] + (SMALLEST_MASS if P.any() else 0) for P in apart])
        up = F.interpolate(coarse[None], fine.shape, mode="bilinear")[0]
        share = up / up.sum(0).clamp_min(SMALLEST_MASS)
        result: NDArray[Any] = torch.stack([of_mass_one(fine * part) for part in share]).numpy()
        return result

    def walk(
        self, values: Mapping[str, Tensor], peak: tuple[int, int, int], *ends: str
    ) -> tuple[Tensor, ...]:
        """P at each of the values ``ends`` for a walk from a peak (class, row, column), [1, C, h, w] each."""
        M = values[self._graph.output[0].name]
        seed = torch.zeros_like(M)
        seed[(0, *peak)] = 1
        return torch.autograd.grad(M, [values[end] for end in ends], seed, retain_graph=True)

    def _constant(self, tensor: onnx.TensorProto) -> Tensor:
        array = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        return array.to(self._dtype) if array.is_floating_point() else array


def spread(P: Tensor, kernels: ShareKernels) -> Tensor:
    """Probability [N, C, h, w] after the spread that share kernels describe, [N, 1, h, w]."""
    mix = None if kernels.mix is None else torch.tensor(kernels.mix, dtype=P.dtype)
    return spread_by(P, mix, [torch.tensor(kernel, dtype=P.dtype) for kernel in kernels.kernels])


def spread_by(P: Tensor, mix: Tensor | None, kernels: Sequence[Tensor]) -> Tensor:
    """:func:`spread` by share kernels that are tensors."""
    maps = P.sum(1, keepdim=True) if mix is None else torch.einsum("nchw,cg->nghw", P, mix)
    for kernel in kernels:
        maps = F.conv2d(maps, kernel, padding=(kernel.shape[2] // 2, kernel.shape[3] // 2))
    return maps


def of_mass_one(P: Tensor) -> Tensor:
    """P over its sum; as it is where there is nothing."""
    mass = P.sum()
    return P / mass if mass > 0 else P
