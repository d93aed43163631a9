"""The host side of running engines, on a GPU that is none; see :mod:`tests.fixtures.host_cuda`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.fixtures.colour_blobs import backprop_model, draw_blobs, forward_model
from tests.fixtures.host_cuda import ForeignArray, HostCuda, HostEngine, host_flavor

from prm_runtime.backends import GraphUse, create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.engines.device_array import DeviceArray
from prm_runtime.engines.run import EngineGraph
from prm_runtime.segmenter import Segmenter

FORWARD, BACKPROP = forward_model().SerializeToString(), backprop_model().SerializeToString()
PEAKS = np.int64([[0, 1, 1], [2, 0, 2]])
RNG = np.random.default_rng(0)


def graph_of(
    model: bytes, cuda: HostCuda, resident: frozenset[str] = frozenset(), **more: Any
) -> EngineGraph:
    return EngineGraph(host_flavor(), HostEngine(model, cuda, **more), cuda, resident)


def gains(seed: int = 0, size: tuple[int, int] = (32, 48)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((1, 3, *size), dtype=np.float32)


def prms_of(gain: NDArray[np.float32], peaks: NDArray[np.int64] = PEAKS) -> NDArray[np.float32]:
    return (
        create_backend("onnxruntime", 1).compile(BACKPROP).run({"peaks": peaks, "gain_colour": gain})["prms"]
    )


class HostBackend:
    """All engines of one :class:`HostCuda`."""

    concurrent = False
    threads = None
    in_work = 1
    description = "no GPU"

    def __init__(self) -> None:
        self.cuda = HostCuda()

    def compile(self, model: bytes, use: GraphUse) -> EngineGraph:
        return graph_of(model, self.cuda, use.resident)


def test_frames_give_what_they_give_elsewhere_and_gains_never_leave_the_device(colour_bundle: Path) -> None:
    backend, bundle = HostBackend(), Bundle.open(colour_bundle)
    on_device = Segmenter(bundle, backend)
    elsewhere = Segmenter.open(colour_bundle)
    frames = [draw_blobs()[0], draw_blobs(size=(256, 448))[0]]
    for frame in (frames[0], frames[0], frames[1], frames[0], frames[0]):
        found, expected = on_device(frame), elsewhere(frame)
        assert len(found) == len(expected) > 0
        np.testing.assert_array_equal(found.masks, expected.masks)
        np.testing.assert_array_equal(found.prms, expected.prms)
    assert backend.cuda.replays > 0
    gain = sum(4 * np.prod(s.shape[1:2]) * 224 * 168 for s in bundle.manifest.backprop.inputs[1:])
    assert backend.cuda.uploaded < 5 * (4 * 3 * 448 * 352 + gain)  # images and peaks alone


def test_several_frames_at_once_keep_their_own_gains(colour_bundle: Path) -> None:
    on_device = Segmenter(Bundle.open(colour_bundle), HostBackend())
    frames = [draw_blobs()[0], draw_blobs(size=(256, 448))[0]]
    for found, frame in zip(on_device.many(frames), frames, strict=True):
        np.testing.assert_array_equal(found.prms, on_device(frame).prms)


def test_work_is_captured_the_second_time_and_replayed_from_then_on() -> None:
    cuda = HostCuda()
    graph = graph_of(BACKPROP, cuda)
    for run, seed in enumerate((0, 1, 2, 3)):
        found = graph.run({"peaks": PEAKS, "gain_colour": gains(seed)})["prms"]
        np.testing.assert_array_equal(found, prms_of(gains(seed)))
        assert cuda.replays == max(0, run)
    graph.run({"peaks": PEAKS[:1], "gain_colour": gains()})
    assert cuda.replays == 3


def test_many_sizes_do_not_keep_many_graphs() -> None:
    cuda = HostCuda()
    graph = graph_of(BACKPROP, cuda)
    for count in (1, 2, *range(1, 20), 1, 1):
        peaks = np.int64([[0, 1, 1]] * count)
        found = graph.run({"peaks": peaks, "gain_colour": gains()})["prms"]
        np.testing.assert_array_equal(found, prms_of(gains(), peaks))
    assert len(graph._captured) <= 8


def test_without_capture_all_work_is_enqueued() -> None:
    cuda = HostCuda()
    cuda.captures_graphs = False
    graph = graph_of(BACKPROP, cuda)
    for seed in range(3):
        found = graph.run({"peaks": PEAKS, "gain_colour": gains(seed)})["prms"]
        np.testing.assert_array_equal(found, prms_of(gains(seed)))
    assert cuda.replays == 0


def test_results_outlive_the_next_run() -> None:
    graph = graph_of(BACKPROP, HostCuda())
    first = graph.run({"peaks": PEAKS, "gain_colour": gains(0)})["prms"]
    graph.run({"peaks": PEAKS, "gain_colour": gains(1)})
    np.testing.assert_array_equal(first, prms_of(gains(0)))


def test_arrays_of_other_libraries_are_read_in_place() -> None:
    cuda = HostCuda()
    graph = graph_of(BACKPROP, cuda)
    foreign = ForeignArray(gains())
    for _ in range(3):
        found = graph.run({"peaks": PEAKS, "gain_colour": foreign})["prms"]
        np.testing.assert_array_equal(found, prms_of(foreign.array))
        foreign.array *= RNG.random(foreign.array.shape, dtype=np.float32)
    assert cuda.uploaded == 3 * PEAKS.nbytes


def test_other_libraries_can_read_resident_outputs() -> None:
    cuda = HostCuda()
    image = RNG.random((1, 3, 64, 96), dtype=np.float32)
    outputs = graph_of(FORWARD, cuda, frozenset({"gain_colour"})).run({"image": image})
    gain = outputs["gain_colour"]
    assert isinstance(gain, DeviceArray)
    assert isinstance(outputs["peaks"], np.ndarray)
    expected = create_backend("onnxruntime", 1).compile(FORWARD).run({"image": image})["gain_colour"]
    interface = gain.__cuda_array_interface__
    assert (interface["shape"], interface["typestr"]) == (expected.shape, "<f4")
    np.testing.assert_array_equal(np.asarray(gain), expected)
    np.testing.assert_array_equal(np.asarray(gain[0:1]), expected[0:1])
    assert np.asarray(gain, np.float64).dtype == np.float64


def test_inputs_in_host_memory_decide_over_captured_work() -> None:
    cuda = HostCuda()
    graph = graph_of(BACKPROP, cuda, on_host=frozenset({"peaks"}))
    for peaks in (PEAKS, PEAKS, PEAKS[::-1], PEAKS, PEAKS[::-1], PEAKS[::-1]):
        graph._context._shapes["peaks"] = peaks.shape  # a fixed shape in a real engine
        found = graph.run({"peaks": peaks, "gain_colour": gains()})["prms"]
        np.testing.assert_array_equal(found, prms_of(gains(), peaks))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gain_colour", gains().astype(np.float64), r"must be float32 \[1, 3, any, any\], got float64"),
        ("gain_colour", gains()[0], r"got float32 \[3, 32, 48\]"),
        ("gain_colour", gains()[:, :2], r"got float32 \[1, 2, 32, 48\]"),
        ("peaks", PEAKS.astype(np.int32), r"peaks must be int64 \[any, 3\], got int32 \[2, 3\]"),
        ("gain_colour", ForeignArray(gains()[:, :1]), r"got float32 \[1, 1, 32, 48\]"),
        ("gain_colour", ForeignArray(gains(), (8, 4, 4, 4)), "not C-contiguous"),
    ],
)
def test_an_input_that_does_not_fit_is_named(name: str, value: Any, reason: str) -> None:
    graph = graph_of(BACKPROP, HostCuda())
    with pytest.raises(PrmError, match=reason):
        graph.run({"peaks": PEAKS, "gain_colour": gains(), name: value})


def test_an_input_outside_of_the_profile_is_named_with_the_profile() -> None:
    graph = graph_of(BACKPROP, HostCuda())
    with pytest.raises(
        PrmError, match=r"gain_colour is \[1, 3, 600, 32\], .* built for .* to \[1, 3, 512, 512\]"
    ):
        graph.run({"peaks": PEAKS, "gain_colour": gains(size=(600, 32))})


def test_contiguous_strides_are_no_reason_to_refuse() -> None:
    gain = gains()
    found = graph_of(BACKPROP, HostCuda()).run(
        {"peaks": PEAKS, "gain_colour": ForeignArray(gain, gain.strides)}
    )
    np.testing.assert_array_equal(found["prms"], prms_of(gain))


def test_memory_is_given_back() -> None:
    cuda = HostCuda()
    graph = graph_of(BACKPROP, cuda)
    for size in ((16, 24), (32, 48), (16, 24)):
        graph.run({"peaks": PEAKS, "gain_colour": gains(size=size)})
    assert len(cuda.memory) == 3  # one per input and output, the outgrown ones freed
    del graph
    gc.collect()
    assert cuda.memory == {}
