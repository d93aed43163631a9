from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from rich.console import Console
from tests.fixtures.networks import Network

from prm_export.errors import ExportError
from prm_export.passes.shares import SMALLEST_MASS
from prm_export.pipeline import Graphs, build_graphs
from prm_export.verify import Check, packaged_picture, report, verify
from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import preprocess

Edit = Callable[[NDArray[np.generic]], NDArray[np.generic]]


@pytest.fixture(scope="module")
def graphs(tiny: Network) -> Graphs:
    return build_graphs(tiny.classifier, tiny.options())


@pytest.fixture(scope="module")
def image(tiny: Network) -> NDArray[np.float32]:
    backbone = tiny.model.backbone
    settings = Preprocessing(size=128, mean=backbone.mean, std=backbone.std)
    return preprocess(packaged_picture(), settings)


def edited(
    model: onnx.ModelProto, which: Callable[[NDArray[np.generic]], bool], edit: Edit
) -> onnx.ModelProto:
    """A copy with the first weight or constant that ``which`` picks changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = [node.attribute[0].t for node in copy.graph.node if node.op_type == "Constant"]
    for tensor in [*copy.graph.initializer, *constants]:
        array = numpy_helper.to_array(tensor)
        if which(array):
            tensor.CopyFrom(numpy_helper.from_array(edit(array), tensor.name))
            return copy
    raise AssertionError("nothing to edit")


def is_kernel(array: NDArray[np.generic]) -> bool:
    return array.ndim == 4 and array.shape[2:] == (3, 3)


def is_projection(array: NDArray[np.generic]) -> bool:
    return array.ndim == 4 and array.shape[0] == 8 and array.shape[2:] == (1, 1)


def is_head(array: NDArray[np.generic]) -> bool:
    return array.ndim == 4 and array.shape == (3, 16, 1, 1)


def is_smallest_mass(array: NDArray[np.generic]) -> bool:
    return array.ndim == 0 and bool(array == np.float32(SMALLEST_MASS))


def half_larger(array: NDArray[np.generic]) -> NDArray[np.generic]:
    scale = np.ones(len(array), array.dtype)
    scale[::2] = 1.1
    return array * scale.reshape(-1, *[1] * (array.ndim - 1))


def test_sound_graphs_pass_every_check(tiny: Network, graphs: Graphs, image: NDArray[np.float32]) -> None:
    checks = verify(graphs, tiny.model.forward_with_features, tiny.options(), image)
    assert [check.name for check in checks] == [
        "class maps vs torch",
        *(f"feature {name} vs torch" for name in tiny.model.taps),
        "class scores vs aggregation",
        "peak table vs search: rows that differ",
        "PRMs vs oracle: largest error / maximum",
        "PRMs vs oracle: 1 - correlation",
        "PRMs vs oracle: mass",
    ]
    assert all(check.passed for check in checks)


TAMPERED: dict[str, tuple[Callable[[Graphs], Graphs], str]] = {
    "a weight of the reverse graph": (
        lambda graphs: replace(graphs, backprop=edited(graphs.backprop, is_kernel, half_larger)),
        "PRMs vs oracle",
    ),
    "the division by the mass": (
        lambda graphs: replace(
            graphs, backprop=edited(graphs.backprop, is_smallest_mass, lambda _: np.float32(1e9))
        ),
        "PRMs vs oracle: mass",
    ),
    "a weight of the classifier": (
        lambda graphs: replace(graphs, forward=edited(graphs.forward, is_kernel, half_larger)),
        "feature block2 vs torch",
    ),
    "a weight of the head": (
        lambda graphs: replace(graphs, forward=edited(graphs.forward, is_head, half_larger)),
        "class maps vs torch",
    ),
    "a feature's projection": (
        lambda graphs: replace(graphs, forward=edited(graphs.forward, is_projection, half_larger)),
        "feature block2 vs torch",
    ),
}


@pytest.mark.parametrize(("tamper", "check"), TAMPERED.values(), ids=TAMPERED)
def test_tampered_graphs_fail(
    tiny: Network,
    graphs: Graphs,
    image: NDArray[np.float32],
    tamper: Callable[[Graphs], Graphs],
    check: str,
) -> None:
    failed = [
        c.name
        for c in verify(tamper(graphs), tiny.model.forward_with_features, tiny.options(), image)
        if not c.passed
    ]
    assert any(name.startswith(check) for name in failed), failed


@pytest.mark.parametrize("half_weights", [True, False])
def test_soft_proposals_are_held_to_the_features_of_torch(
    half_weights: bool, tiny: Network, image: NDArray[np.float32]
) -> None:
    options = tiny.options(aggregation="spn", half_weights=half_weights)
    graphs = build_graphs(tiny.classifier, options)
    assert all(check.passed for check in verify(graphs, tiny.model.forward_with_features, options, image))
    average = build_graphs(tiny.classifier, tiny.options(aggregation="average", half_weights=half_weights))
    checks = verify(average, tiny.model.forward_with_features, options, image)
    assert [check.name for check in checks if not check.passed] == ["class scores vs aggregation"]


def test_other_scores_than_those_of_training_fail(
    tiny: Network, graphs: Graphs, image: NDArray[np.float32]
) -> None:
    checks = verify(graphs, tiny.model.forward_with_features, tiny.options(aggregation="average"), image)
    assert [c.name for c in checks if not c.passed] == ["class scores vs aggregation"]


def test_other_peaks_than_those_of_the_search_fail(
    tiny: Network, graphs: Graphs, image: NDArray[np.float32]
) -> None:
    checks = verify(graphs, tiny.model.forward_with_features, tiny.options(window=1), image)
    assert [c.name for c in checks if not c.passed] == ["peak table vs search: rows that differ"]


def test_a_threshold_is_held_to_the_search_too(tiny: Network, image: NDArray[np.float32]) -> None:
    options = tiny.options(peak_threshold=0.05, half_weights=False)
    checks = verify(build_graphs(tiny.classifier, options), tiny.model.forward_with_features, options, image)
    assert all(check.passed for check in checks)


def test_a_damaged_network_has_no_peaks(tiny: Network, graphs: Graphs, image: NDArray[np.float32]) -> None:
    damaged = edited(graphs.forward, is_kernel, lambda array: array * np.nan)
    with pytest.raises(ExportError, match=r"no peak \(all NaN\?\): the checkpoint is damaged"):
        verify(replace(graphs, forward=damaged), tiny.model.forward_with_features, tiny.options(), image)


def test_a_network_without_evidence_is_refused(tiny: Network, image: NDArray[np.float32]) -> None:
    dead = edited(tiny.classifier, is_head, lambda array: -np.abs(array))
    graphs = build_graphs(dead, tiny.options())
    with pytest.raises(ExportError, match="no evidence below them: the checkpoint is damaged"):
        verify(graphs, tiny.model.forward_with_features, tiny.options(), image)


@pytest.mark.parametrize(("error", "passes"), [(0.0, True), (0.1, True), (0.11, False), (math.nan, False)])
def test_an_error_passes_up_to_its_tolerance(error: float, passes: bool) -> None:
    assert Check("x", error, 0.1).passed is passes


def test_the_report_shows_errors_tolerances_and_verdicts() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report([Check("a", 2e-7, 1e-4), Check("b", 0.5, 1e-3)]))
    lines = capture.get().splitlines()
    assert any("2e-07" in line and "0.0001" in line and "ok" in line for line in lines)
    assert any("0.5" in line and "0.001" in line and "FAILED" in line for line in lines)


def test_the_packaged_picture_is_there() -> None:
    picture = packaged_picture()
    assert picture.dtype == np.uint8
    assert picture.shape == (298, 448, 3)
    assert picture.std() > 20
