"""Peak back-propagation (Eq. 4, 5) as loops over visiting probabilities: one output cell at a time.

The walker starts at the peak and goes down layer by layer. No gains and no autograd; where the evidence below
a cell is zero, the walk ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Maps = NDArray[np.float64]
"""float64 [C, h, w]."""


def response_maps(
    classifier: onnx.ModelProto,
    image: NDArray[np.float32],
    image_minimum: NDArray[np.float32],
    peaks: Iterable[Sequence[int]],
    stop: str,
    epsilon: float = 0.0,
) -> Maps:
    """The Peak Response Maps of peaks (class, row, column) at the value ``stop``, [P, h, w], each of sum 1.

    Args:
        classifier: Without batch norm; its first output is M.
        image: float32 [1, 3, H, W].
        image_minimum: Smallest possible value of each channel, [3].
        peaks: Class, row and column of each.
        stop: Name of a value that every path from the image to M runs through.
        epsilon: Added to every normaliser 1/Z; the paper has none.
    """
    walker = Walker(classifier, image, image_minimum, epsilon)
    maps = [walker.walk(*walker.seed(peak), stop).sum(0) for peak in peaks]
    return np.stack([prm / prm.sum() for prm in maps])


class Walker:
    """The walk over one image; arguments as for :func:`response_maps`."""

    def __init__(
        self,
        classifier: onnx.ModelProto,
        image: NDArray[np.float32],
        image_minimum: NDArray[np.float32],
        epsilon: float = 0.0,
    ) -> None:
        self._graph, self._epsilon = classifier.graph, epsilon
        self._U = {name: value.astype(np.float64) for name, value in _values(classifier, image).items()}
        self._evidence = {name: np.maximum(value, 0) for name, value in self._U.items()}
        pixels = image.astype(np.float64) - image_minimum.reshape(1, -1, 1, 1)
        self._evidence[classifier.graph.input[0].name] = pixels

    def seed(self, peak: Sequence[int]) -> tuple[str, Maps]:
        """The value M and a walker that stands on its cell (class, row, column)."""
        M = self._graph.output[0].name
        P = np.zeros(self._U[M].shape[1:])
        P[tuple(peak)] = 1
        return M, P

    def walk(self, start: str, P_start: Maps, stop: str) -> Maps:
        """P at the value ``stop`` of walkers that set out from ``start`` with P_start."""
        P = {start: P_start}
        for node in reversed(self._graph.node):
            if node.output[0] == stop:
                break
            if node.output[0] not in P:
                continue  # a constant, or above the start
            below = _step(node, P.pop(node.output[0]), self._evidence, self._U, self._epsilon)
            for name, share in below.items():
                P[name] = P.get(name, 0) + share
        return P[stop]


def _values(classifier: onnx.ModelProto, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    feeds = {classifier.graph.input[0].name: image}
    found = ReferenceEvaluator(classifier).run(None, feeds, intermediate=True)
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _step(
    node: onnx.NodeProto,
    P_V: Maps,
    evidence: Mapping[str, Maps],
    U: Mapping[str, NDArray[Any]],
    epsilon: float,
) -> dict[str, Maps]:
    """P of each input of a layer."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    first = node.input[0]
    U_hat = evidence[first][0]
    if node.op_type == "Conv":
        return {first: _affine(P_V, U_hat, evidence[node.input[1]], attributes, epsilon)}
    if node.op_type in ("MaxPool", "AveragePool"):
        ones = np.ones((len(U_hat), 1, *attributes["kernel_shape"]))
        return {first: _affine(P_V, U_hat, ones, {**attributes, "group": len(U_hat)}, epsilon)}
    if node.op_type in ("Relu", "Clip", "Identity", "Dropout"):
        return {first: P_V}
    if node.op_type == "Add":
        total = sum(evidence[name][0] for name in node.input) + epsilon
        part = np.divide(P_V, total, out=np.zeros_like(P_V), where=total > 0)
        return {name: part * evidence[name][0] for name in node.input}
    if node.op_type == "Concat":
        ends = np.cumsum([evidence[name].shape[1] for name in node.input])
        return dict(zip(node.input, np.split(P_V, ends[:-1]), strict=True))
    if node.op_type == "Pad":
        top, left = U[node.input[1]].astype(int).tolist()[2:4]
        _, height, width = U_hat.shape
        return {first: P_V[:, top : top + height, left : left + width]}
    raise NotImplementedError(node.op_type)


def _affine(
    P_V: Maps,
    U_hat: Maps,
    W_plus: NDArray[np.float64],
    attributes: Mapping[str, Any],
    epsilon: float,
) -> Maps:
    """Eq. 4, with the transition probabilities of Eq. 5, for W⁺ [out, in / group, kh, kw]."""
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    padded = np.pad(U_hat, ((0, 0), (top, bottom), (left, right)))
    P_U = np.zeros_like(padded)
    per_group = len(W_plus) // attributes.get("group", 1)
    for k, p, q in np.argwhere(P_V > 0):
        channels = np.arange(W_plus.shape[1]) + k // per_group * W_plus.shape[1]
        rows = p * strides[0] + np.arange(W_plus.shape[2]) * dilations[0]
        columns = q * strides[1] + np.arange(W_plus.shape[3]) * dilations[1]
        window = np.ix_(channels, rows, columns)
        transition = padded[window] * W_plus[k]
        if transition.sum() > 0:
            P_U[window] += P_V[k, p, q] * transition / (transition.sum() + epsilon)
    return P_U[:, top : top + U_hat.shape[1], left : left + U_hat.shape[2]]
