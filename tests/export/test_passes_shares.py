"""Share splitting against loops over visiting probabilities, and against exact maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from tests.fixtures.networks import Network
from tests.fixtures.small_nets import (
    IMAGE_MINIMUM,
    Compiled,
    SmallNet,
    assert_maps_agree,
    best_peaks,
    options,
    random_image,
    residual_net,
)
from tests.oracles.peak_backprop import Maps, Walker
from tests.oracles.share_splitting import by_groups, enlarged, shared_maps, widened

from prm_export.errors import ExportError
from prm_export.oracle import Oracle
from prm_export.pipeline import Graphs, build_graphs
from prm_export.reverse_path import SPREAD
from prm_export.rules.base import EPSILON
from prm_export.share_kernels import ShareKernels, kernels_in
from prm_runtime.backends import BACKENDS, create_backend


def deep_net() -> onnx.ModelProto:
    """A classifier of stride 2 whose walks reach 1, 2 and 3 cells on their way to it."""
    net = SmallNet()
    stem = net.relu(net.conv("image", 6, strides=(2, 2)))
    low = net.relu(net.conv(net.relu(net.conv(stem, 7)), 5))
    return net.classifier(net.relu(net.conv(low, 8)))


def expected_maps(graphs: Graphs, image: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    assert graphs.split is not None
    walker = Walker(graphs.classifier, image, IMAGE_MINIMUM, EPSILON)

    def spread(P: Maps) -> Maps:
        mix, kernels = graphs.spread.mix, graphs.spread.kernels
        if mix is not None:
            return by_groups(P, mix, kernels)
        return widened(P.sum(0), SPREAD) if kernels else P.sum(0)

    return shared_maps(walker, peaks.tolist(), graphs.split, graphs.stop, spread)


def kernels_for(channels: int, groups: int = 3) -> ShareKernels:
    """Kernels of no network."""
    random = np.random.default_rng(0)
    mix = random.random((channels, groups)).astype(np.float32)
    shapes = (groups, groups, 3, 3), (1, groups, 5, 5)
    return ShareKernels(mix, tuple(random.random(shape).astype(np.float32) for shape in shapes))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("stop", "split"), [(1, 2), (1, 4), (2, 4)])
def test_the_graphs_share_as_the_loops_do(engine: str, stop: int, split: int) -> None:
    if BACKENDS[engine].missing():
        pytest.skip(f"{engine} is not installed")
    graphs = build_graphs(residual_net(), options(stop, split_stride=split))
    image = random_image()
    peaks, prms = Compiled(graphs, engine).maps(image, count=4)
    assert len(peaks) == 4
    assert_maps_agree(prms, expected_maps(graphs, image, peaks), 1e-4)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("stop", "reach"), [(1, 1), (2, 1), (2, 2)])
def test_walks_that_join_near_their_peaks_share_as_the_loops_do(engine: str, stop: int, reach: int) -> None:
    if BACKENDS[engine].missing():
        pytest.skip(f"{engine} is not installed")
    graphs = build_graphs(deep_net(), options(stop, split_reach=reach))
    assert graphs.spread.mix is None
    assert graphs.spread.kernels
    image = random_image()
    peaks, prms = Compiled(graphs, engine).maps(image, count=4)
    assert len(peaks) == 4
    assert_maps_agree(prms, expected_maps(graphs, image, peaks), 1e-4)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("stop", "reach", "channels"), [(1, 1, 5), (2, 2, 7)])
def test_walks_share_by_kernels_as_the_loops_do(engine: str, stop: int, reach: int, channels: int) -> None:
    if BACKENDS[engine].missing():
        pytest.skip(f"{engine} is not installed")
    kernels = kernels_for(channels)
    graphs = build_graphs(deep_net(), options(stop, split_reach=reach, share_kernels=kernels))
    image = random_image()
    peaks, prms = Compiled(graphs, engine).maps(image, count=4)
    assert len(peaks) == 4
    assert_maps_agree(prms, expected_maps(graphs, image, peaks), 1e-4)


def test_kernels_of_another_network_are_refused() -> None:
    with pytest.raises(ExportError, match="fitted to 6 channels, and there are 5 where peaks join here"):
        build_graphs(deep_net(), options(2, split_reach=1, share_kernels=kernels_for(6)))


def test_a_graph_knows_the_kernels_that_it_was_built_with() -> None:
    kernels = kernels_for(5)
    with_kernels, without = (
        build_graphs(deep_net(), options(2, split_reach=1, share_kernels=given)) for given in (kernels, None)
    )
    found = kernels_in(with_kernels.backprop)
    assert found is not None
    np.testing.assert_array_equal(found.mix, kernels.mix)
    for ours, theirs in zip(found.kernels, kernels.kernels, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert kernels_in(without.backprop) is None


@pytest.mark.parametrize(("reach", "channels"), [(1, 5), (2, 7)])
def test_walks_join_where_they_have_reached_so_far(reach: int, channels: int) -> None:
    graphs = build_graphs(deep_net(), options(2, split_reach=reach))
    inferred = onnx.shape_inference.infer_shapes(graphs.classifier).graph.value_info
    (split,) = [value for value in inferred if value.name == graphs.split]
    assert split.type.tensor_type.shape.dim[1].dim_value == channels


def test_walks_that_never_come_that_far_cannot_join() -> None:
    with pytest.raises(ExportError, match="use --prm exact, or a smaller --split-reach"):
        build_graphs(deep_net(), options(2, split_reach=3))


@pytest.mark.parametrize(
    ("net", "way"),
    [
        (residual_net, {"split_stride": 4}),
        (residual_net, {"split_reach": 1}),
        (deep_net, {"split_reach": 1, "share_kernels": kernels_for(5)}),
    ],
)
def test_the_oracle_of_exports_shares_as_the_loops_do(
    net: Callable[[], onnx.ModelProto], way: dict[str, Any]
) -> None:
    graphs = build_graphs(net(), options(1, **way))
    image = random_image()
    peaks = best_peaks(Compiled(graphs).forward(image), 4)
    oracle = Oracle(graphs.classifier, IMAGE_MINIMUM)
    cells = [tuple(peak) for peak in peaks.tolist()]
    found = oracle.shared_maps(oracle.run(image), cells, graphs.split or "", graphs.stop, graphs.spread)
    assert_maps_agree(found, expected_maps(graphs, image, peaks), 1e-4)


def test_one_peak_alone_gets_its_exact_map(tiny: Network) -> None:
    image = tiny.image(96, 64)
    exact, shared = (
        Compiled(build_graphs(tiny.classifier, tiny.options(split_stride=split))) for split in (None, 8)
    )
    peaks, prms = exact.maps(image, count=1)
    assert_maps_agree(shared.backprop(peaks, shared.forward(image)), prms, 1e-5)


def test_a_peak_without_evidence_leaves_the_others_alone() -> None:
    net = SmallNet()
    stem = net.relu(net.conv("image", strides=(2, 2)))
    classifier = net.classifier(net.relu(net.conv(stem, strides=(2, 2))))
    tensor = next(t for t in classifier.graph.initializer if t.dims[0] == 4 and t.dims[2:] == [1, 1])
    head = onnx.numpy_helper.to_array(tensor).copy()
    head[3] = -np.abs(head[3])  # no W⁺: nothing lies below this class
    tensor.CopyFrom(onnx.numpy_helper.from_array(head, tensor.name))
    graphs = build_graphs(classifier, options(1, split_stride=2))
    compiled, image = Compiled(graphs), random_image()
    outputs = compiled.forward(image)
    peaks = best_peaks(outputs, 3)
    peaks = peaks[peaks[:, 0] != 3]
    dead = np.vstack([peaks, [[3, 1, 1]]])
    prms = compiled.backprop(dead, outputs)
    assert not prms[-1].any()
    assert_maps_agree(prms[:-1], compiled.backprop(peaks, outputs), 1e-5)


def test_below_the_split_the_work_does_not_grow_with_the_peaks() -> None:
    graphs = build_graphs(residual_net(), options(1, split_stride=2))
    model = ir.from_proto(graphs.backprop)
    graph = create_backend("onnxruntime", 1)
    stem = [node for node in model.graph if node.op_type == "ConvTranspose"][-1]
    value = stem.inputs[0]
    assert value is not None
    value.dtype = ir.DataType.FLOAT
    model.graph.outputs.append(value)
    outputs = Compiled(graphs).forward(random_image())
    gains = {name: array for name, array in outputs.items() if name.startswith("gain_")}
    peaks = best_peaks(outputs, 4)
    found = graph.compile(ir.to_proto(model).SerializeToString()).run({"peaks": peaks, **gains})
    assert len(found["prms"]) == 4
    assert len(found[value.name or ""]) == 1


@pytest.mark.parametrize(("stop", "split"), [(2, 2), (4, 2)])
def test_a_split_below_the_stop_is_refused(stop: int, split: int) -> None:
    with pytest.raises(ExportError, match="--split-stride has to be larger than --stop-stride"):
        build_graphs(residual_net(), options(stop, split_stride=split))


def test_a_stride_to_split_at_that_the_network_lacks_is_named() -> None:
    with pytest.raises(ExportError, match=r"use --split-stride with one of 1, 2, 4$"):
        build_graphs(residual_net(), options(1, split_stride=8))


def test_the_oracle_enlarges_as_everybody_does() -> None:
    torch = pytest.importorskip("torch")
    coarse = np.random.default_rng(0).random((3, 5))
    expected = torch.nn.functional.interpolate(torch.tensor(coarse)[None, None], (12, 20), mode="bilinear")
    np.testing.assert_allclose(enlarged(coarse, (12, 20)), expected[0, 0].numpy(), atol=1e-12)
