from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.fixtures.small_nets import (
    Compiled,
    assert_equals_loops,
    assert_maps_agree,
    best_peaks,
    loop_maps,
    options,
    random_image,
    residual_net,
)

from prm_export.pipeline import build_graphs


@pytest.mark.parametrize("stop_stride", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_maps_are_eq_4_and_5(seed: int, stop_stride: int) -> None:
    assert_equals_loops(residual_net(seed), stop_stride, seed)


@pytest.mark.parametrize("seed", range(4))
def test_epsilon_matters_only_where_there_is_next_to_no_evidence(seed: int) -> None:
    classifier, image = residual_net(seed), random_image(seed)
    graphs = build_graphs(classifier, options())
    peaks, prms = Compiled(graphs).maps(image)
    assert_maps_agree(prms, loop_maps(classifier, image, peaks, graphs.stop, epsilon=0.0), 1e-4)


def test_peaks_do_not_depend_on_each_other() -> None:
    compiled = Compiled(build_graphs(residual_net(1), options(window=1)))
    outputs = compiled.forward(random_image())
    peaks = best_peaks(outputs, 8)
    assert len(peaks) == 8
    together = compiled.backprop(peaks, outputs)
    alone = np.concatenate([compiled.backprop(peak[None], outputs) for peak in peaks])
    assert_maps_agree(together, alone, 1e-6)
    assert_maps_agree(compiled.backprop(peaks[::-1].copy(), outputs)[::-1], together, 1e-6)


def test_every_cell_may_be_a_peak() -> None:
    classifier, image = residual_net(2), random_image(2)
    graphs = build_graphs(classifier, options(stop_stride=2))
    compiled = Compiled(graphs)
    outputs = compiled.forward(image)
    h, w = outputs["class_maps"].shape[2:]
    corners = np.int64([[c, i, j] for c in (0, 3) for i in (0, h - 1) for j in (0, w - 1)])
    expected = loop_maps(classifier, image, corners, graphs.stop)
    assert_maps_agree(compiled.backprop(corners, outputs), expected)


def test_maps_are_linear_in_the_seed() -> None:
    classifier = residual_net(1)
    W = classifier.graph.initializer[-2]
    rows = np.maximum(numpy_helper.to_array(W), 0)
    rows[2] = rows[0] + 2 * rows[1]  # so must be the walk's outcome, up to the sum that is divided by
    W.CopyFrom(numpy_helper.from_array(rows, W.name))
    compiled = Compiled(build_graphs(classifier, options()))
    outputs = compiled.forward(random_image())
    a, b, both = compiled.backprop(np.int64([[0, 1, 2], [1, 1, 2], [2, 1, 2]]), outputs)
    basis = np.stack([a.ravel(), b.ravel()], axis=1).astype(np.float64)
    shares, *_ = np.linalg.lstsq(basis, both.ravel(), rcond=None)
    assert shares.min() > 0
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(basis @ shares, both.ravel(), atol=1e-6 * both.max())


def test_a_walk_that_dies_out_leaves_an_empty_map() -> None:
    classifier = residual_net(1)
    W = classifier.graph.initializer[-2]
    W.CopyFrom(numpy_helper.from_array(-np.abs(numpy_helper.to_array(W)), W.name))
    _, prms = Compiled(build_graphs(classifier, options())).maps(random_image())
    assert len(prms) > 0
    assert not prms.any()


def test_the_signature_names_what_the_forward_graph_hands_out() -> None:
    graphs = build_graphs(residual_net(), options(stop_stride=2))
    gains = [value.name for value in graphs.forward.graph.output if value.name.startswith("gain_")]
    assert [value.name for value in graphs.backprop.graph.input] == ["peaks", *gains]
    (prms,) = graphs.backprop.graph.output
    sides = [dim.dim_param for dim in prms.type.tensor_type.shape.dim]
    assert sides == ["peaks", "height/2", "width/2"]
    onnx.checker.check_model(graphs.backprop, full_check=True)
