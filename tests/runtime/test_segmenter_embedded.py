"""A segmenter inside other programs: threads, closing, memory of the caller's."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs
from tests.runtime.test_engines_run import HostBackend

from prm_runtime.backends import Backend, create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter


def assert_equal(found: Instances, expected: Instances) -> None:
    for name in ("class_ids", "scores", "peaks", "boxes", "masks", "prms"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@pytest.fixture(params=["onnxruntime", "openvino", "host GPU"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "host GPU":
        return HostBackend()  # outputs stay in the engine's memory until its next run
    pytest.importorskip(request.param)
    return create_backend(request.param, 1)


@pytest.mark.parametrize("overlap", [False, True])
def test_threads_get_what_one_thread_gets(colour_bundle: Path, backend: Backend, overlap: bool) -> None:
    segmenter = Segmenter(Bundle.open(colour_bundle), backend, overlap=overlap)
    frames = [draw_blobs(BLOBS[:n], size)[0] for n in (3, 1, 2) for size in ((336, 448), (256, 448))]
    alone = Segmenter(Bundle.open(colour_bundle), backend) if overlap else segmenter
    expected = [alone(frame) for frame in frames]
    start = threading.Barrier(4)

    def work(first: int) -> list[Instances]:
        start.wait()
        return [segmenter(frames[(first + n) % len(frames)]) for n in range(2 * len(frames))]

    with ThreadPoolExecutor(4) as threads:
        for first, results in enumerate(threads.map(work, range(4))):
            for n, found in enumerate(results):
                assert_equal(found, expected[(first + n) % len(frames)])
    calls = len(frames) * ((segmenter is alone) + 4 * 2)
    assert segmenter.times.count("proposals") == segmenter.times.count("forward") == calls


def test_a_closed_segmenter_says_so(colour_bundle: Path) -> None:
    image, _ = draw_blobs()
    with Segmenter.open(colour_bundle) as segmenter:
        assert len(segmenter(image)) == 3
    for call in (segmenter, segmenter.evidence, segmenter.responses, lambda frame: segmenter.many([frame])):
        with pytest.raises(PrmError, match="the segmenter is closed; open another one"):
            call(image)
    segmenter.close()


def test_closing_lets_go_of_the_gpu_memory(colour_bundle: Path) -> None:
    backend = HostBackend()
    segmenter = Segmenter(Bundle.open(colour_bundle), backend)
    segmenter(draw_blobs()[0])
    assert backend.cuda.memory
    segmenter.close()
    assert not backend.cuda.memory


def test_closing_lets_a_frame_finish(colour_bundle: Path) -> None:
    segmenter = Segmenter.open(colour_bundle)
    evidences = segmenter.evidences([draw_blobs()[0]] * 2)
    next(evidences)
    segmenter.close()
    assert len(next(evidences).peaks) >= 3


def test_masks_are_written_where_the_caller_wants_them(
    colour_segmenter: Segmenter,
) -> None:
    image, _ = draw_blobs()
    expected = colour_segmenter(image)
    out = np.ones((8, *image.shape[:2]), np.bool_)
    found = colour_segmenter(image, out=out)
    assert_equal(found, expected)
    assert np.shares_memory(found.masks, out)
    assert found.masks.ctypes.data == out.ctypes.data
    assert out[len(found) :].all()  # the rest is untouched


def test_without_room_for_all_the_best_are_kept(colour_segmenter: Segmenter) -> None:
    image, _ = draw_blobs()
    best = colour_segmenter(image).select([0, 1])
    assert_equal(colour_segmenter(image, out=np.empty((2, *image.shape[:2]), np.bool_)), best)
    assert len(colour_segmenter(image, out=np.empty((0, *image.shape[:2]), np.bool_))) == 0


def test_room_of_another_shape_is_refused(colour_segmenter: Segmenter) -> None:
    image, _ = draw_blobs()
    with pytest.raises(PrmError, match=r"out must be bool \[N, 336, 448\], got uint8 \[4, 336, 448\]"):
        colour_segmenter(image, out=np.empty((4, 336, 448), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(PrmError, match=r"got bool \[4, 448, 336\]"):
        colour_segmenter(image, out=np.empty((4, 448, 336), np.bool_))
    read_only = np.empty((4, 336, 448), np.bool_)
    read_only.flags.writeable = False
    with pytest.raises(PrmError, match="out must be writeable"):
        colour_segmenter(image, out=read_only)


def test_masks_that_vanish_leave_no_gap(colour_segmenter: Segmenter) -> None:
    """Frames much smaller than the superpixels' grid lose the smallest masks."""
    image, _ = draw_blobs()
    evidence = colour_segmenter.evidence(image)
    for size in ((336, 448), (6, 8), (1, 1)):
        out = np.zeros((8, *size), np.bool_)
        expected = colour_segmenter.retrieve(evidence, size)
        assert expected.masks.any(axis=(1, 2)).all()
        assert_equal(colour_segmenter.retrieve(evidence, size, out=out), expected)


def test_what_only_command_lines_need_is_not_imported() -> None:
    """It takes time and memory from every program that embeds a segmenter."""
    heavy = ("typer", "rich", "asyncio", "av", "torch", "onnx")
    code = f"import sys, prm_runtime.segmenter; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
