"""``--rule reference`` computes what the code published with the paper does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.exporter_styles import randomise
from tests.fixtures.foreign_maps import MINIMUM
from tests.fixtures.small_nets import Compiled
from tests.oracles import published_code
from torch import Tensor, nn

from prm_export.intake.classifier import import_classifier
from prm_export.oracle import Oracle
from prm_export.pipeline import GraphOptions, Graphs, build_graphs
from prm_export.rules import RULES

CLASSES = 4
SIDES = (64, 96)
TOLERANCE = 1e-3
"""Of a map's maximum: the graphs compute in float32, and normalisers near zero amplify rounding."""


class Block(nn.Module):
    """A residual block of two convolutions, with or without batch norm."""

    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*conv(channels, channels, norm), *conv(channels, channels, norm)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


class FixedGate(nn.Module):
    """Squeeze and excitation as the rules take it: P does not enter the gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excite = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(x.mean((2, 3), keepdim=True)).sigmoid().detach()


def conv(
    inputs: int, outputs: int, norm: bool = False, activation: nn.Module | None = None, **options: int
) -> list[nn.Module]:
    """A convolution, maybe a batch norm, an activation."""
    layer = nn.Conv2d(inputs, outputs, 3, **{"padding": 1, "bias": not norm} | options)
    return [layer, *([nn.BatchNorm2d(outputs)] if norm else []), activation or nn.ReLU()]


def head(channels: int) -> nn.Module:
    return nn.Conv2d(channels, CLASSES, 1)


NETS: dict[str, Callable[[], list[nn.Module]]] = {
    "convolutions": lambda: [*conv(3, 8, stride=2), *conv(8, 8, groups=2), head(8)],
    "batch norm": lambda: [*conv(3, 8, True, stride=2), *conv(8, 8, True, groups=8), head(8)],
    "add": lambda: [*conv(3, 8, stride=2), Block(8, norm=False), head(8)],
    "batch norm and add": lambda: [*conv(3, 8, True, stride=2), Block(8, norm=True), head(8)],
    "linear bottleneck": lambda: [*conv(3, 8, True, stride=2)[:-1], *conv(8, 8, True), head(8)],
    "overlapping max-pools": lambda: [
        *conv(3, 8, True), nn.MaxPool2d(3, 2, 1), *conv(8, 8), nn.MaxPool2d(2), head(8)
    ],
    "average pools": lambda: [
        *conv(3, 8, True), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool2d(3, 2, 1), head(8)
    ],
    "padding of its own": lambda: [
        nn.ZeroPad2d((0, 1, 0, 1)), *conv(3, 8, True, nn.ReLU6(), stride=2, padding=0), head(8)
    ],
    "activations": lambda: [
        *conv(3, 8, True, nn.LeakyReLU(0.1), stride=2), *conv(8, 8, True, nn.Hardswish()),
        *conv(8, 8, True, nn.SiLU()), *conv(8, 8, True, nn.ELU()), nn.PReLU(8), nn.Tanh(), head(8)
    ],
    "dilation": lambda: [*conv(3, 8, stride=2), *conv(8, 8, True, dilation=2, padding=2), head(8)],
    "transposed convolution": lambda: [
        *conv(3, 8, True, stride=2), *conv(8, 8, stride=2), nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(),
        head(8)
    ],
    "upsampling": lambda: [
        *conv(3, 8, stride=2), *conv(8, 8, stride=2), nn.Upsample(scale_factor=2), head(8)
    ],
    "gates": lambda: [*conv(3, 8, True, stride=2), FixedGate(8), *conv(8, 8, True), head(8)],
}  # fmt: skip


def build(name: str, folder: Path, stop_stride: int = 1) -> tuple[nn.Module, Graphs]:
    model = nn.Sequential(*NETS[name]())
    pooled = nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    randomise(pooled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            pooled.eval(),
            (torch.zeros(1, 3, *SIDES),),
            folder / "net.onnx",
            dynamo=False,
            opset_version=17,
            training=torch.onnx.TrainingMode.PRESERVE,  # the exporter would fold batch norm
            do_constant_folding=False,
        )
    foreign = import_classifier(folder / "net.onnx", CLASSES, rules=RULES["reference"])
    options = GraphOptions(MINIMUM, "average", stop_stride=stop_stride, half_weights=False, rules="reference")
    return model, build_graphs(foreign.classifier, options)


def image() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (1, 3, *SIDES)).astype(np.float32)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert expected.any()
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max() <= TOLERANCE * b.max()
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] >= 0.9999


@pytest.mark.parametrize("name", NETS)
def test_graphs_equal_the_published_code(name: str, tmp_path: Path) -> None:
    model, graphs = build(name, tmp_path)
    operators = {node.op_type for node in graphs.classifier.graph.node}
    assert ("BatchNormalization" in operators) == any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    peaks, found = Compiled(graphs).maps(image())
    assert_close(found, published_code.response_maps(model, image(), peaks.tolist()))


@pytest.mark.parametrize("stop_stride", [1, 2])
def test_exports_are_verified_by_the_same_rules(stop_stride: int, tmp_path: Path) -> None:
    _, graphs = build("batch norm and add", tmp_path, stop_stride)
    peaks, found = Compiled(graphs).maps(image())
    oracle = Oracle(graphs.classifier, MINIMUM, rules="reference")
    values = oracle.run(image())
    expected = [oracle.response_map(values, tuple(peak), graphs.stop) for peak in peaks.tolist()]
    assert_close(found, np.stack(expected))


def test_both_rules_differ_where_batch_norm_changes_signs(tmp_path: Path) -> None:
    _, graphs = build("batch norm and add", tmp_path)
    paper = build_graphs(graphs.classifier, GraphOptions(MINIMUM, "average", stop_stride=1))
    peaks, found = Compiled(graphs).maps(image(), 1)
    _, other = Compiled(paper).maps(image(), 1)
    assert len(peaks) == 1
    assert np.corrcoef(found.ravel(), other.ravel())[0, 1] < 0.99
