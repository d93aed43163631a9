from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from tests.fixtures.colour_blobs import backprop_model

from prm_runtime.backends import BACKENDS, Backend, create_backend
from prm_runtime.console import PrmError
from prm_runtime.engines.cuda import open_cuda
from prm_runtime.segmenter import Segmenter

BUILT_BACKENDS = [name for name in BACKENDS if not name.endswith("-fp16")]  # those build by prm-export alone


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(PrmError, match="unknown backend 'tpu'; choose one of: onnxruntime, openvino, cuda"):
        create_backend("tpu")


@pytest.mark.parametrize("name", BACKENDS)
def test_an_absent_engine_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(BACKENDS, name, replace(BACKENDS[name], requires=("no_such_engine",)))
    with pytest.raises(PrmError, match="needs no_such_engine, which is not installed; run: pip"):
        create_backend(name)


def backend_or_skip(name: str, threads: int | None = None) -> Backend:
    try:
        return create_backend(name, threads)
    except PrmError as error:  # not installed, or no GPU
        pytest.skip(str(error))


@pytest.mark.parametrize("name", BUILT_BACKENDS)
@pytest.mark.parametrize("threads", [None, 1])
def test_engines_run_a_graph(name: str, threads: int | None) -> None:
    graph = backend_or_skip(name, threads).compile(backprop_model().SerializeToString())
    gain = np.random.default_rng(0).random((1, 3, 32, 48), dtype=np.float32)
    for peaks in ([[0, 1, 1]], [[2, 0, 2], [1, 1, 0]]):
        prms = graph.run({"peaks": np.int64(peaks), "gain_colour": gain})["prms"]
        assert prms.shape == (len(peaks), 32, 48)
        np.testing.assert_allclose(prms.sum(axis=(1, 2)), 1, rtol=1e-4)
        for prm, (class_id, row, column) in zip(prms, peaks, strict=True):
            y, x = np.mgrid[:32, :48]
            expected = gain[0, class_id] * np.exp(
                -((y - 16 * row - 8) ** 2 + (x - 16 * column - 8) ** 2) / (2 * 20**2)
            )
            np.testing.assert_allclose(prm, expected / expected.sum(), rtol=1e-3)


@pytest.mark.parametrize("name", BUILT_BACKENDS)
def test_results_outlive_the_next_run(name: str) -> None:
    graph = backend_or_skip(name).compile(backprop_model().SerializeToString())
    peaks = np.int64([[0, 1, 1]])
    first = graph.run({"peaks": peaks, "gain_colour": np.ones((1, 3, 32, 48), np.float32)})["prms"]
    kept = first.copy()
    graph.run({"peaks": peaks, "gain_colour": np.zeros((1, 3, 32, 48), np.float32)})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("threads", [0, -1])
def test_thread_counts_are_checked(threads: int) -> None:
    with pytest.raises(PrmError, match="at least 1"):
        create_backend("onnxruntime", threads)


@pytest.mark.parametrize(
    ("threads", "streams", "each"), [(None, 1, None), (3, 1, 3), (4, 2, 2), (2, 2, 1), (1, 2, 1), (5, 2, 2)]
)
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_streams_share_the_threads_out(
    name: str, threads: int | None, streams: int, each: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prm_runtime.backends.openvino.usable_cpus", lambda: 8)
    backend = create_backend(name, threads, streams)
    assert backend.threads == each
    assert backend.concurrent or streams == 1


@pytest.mark.parametrize(
    ("threads", "in_work", "each"), [(None, 4, None), (8, 4, 2), (9, 4, 2), (2, 2, 1), (7, 2, 3)]
)
def test_openvino_has_frames_to_spare_where_all_cpus_are_its_own(
    threads: int | None, in_work: int, each: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prm_runtime.backends.openvino.usable_cpus", lambda: 8)
    backend = create_backend("openvino", threads, 2)
    assert backend.in_work == in_work
    assert each in (None, backend.threads)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_streams_find_what_one_frame_after_the_other_finds(name: str) -> None:
    picture = skimage.data.chelsea()
    frames = [picture, picture[:, ::-1].copy(), picture[:200], picture[:, :300].copy()] * 3
    one = Segmenter.open(backend=name, threads=2)
    with Segmenter.open(backend=name, threads=2, streams=2) as segmenter, ThreadPoolExecutor(3) as threads:
        assert segmenter.backend.threads == 1
        found = list(threads.map(segmenter, frames))
    for instances, frame in zip(found, frames, strict=True):
        expected = one(frame)
        assert instances.labels == expected.labels
        np.testing.assert_allclose(instances.scores, expected.scores, atol=1e-4)
        np.testing.assert_array_equal(instances.masks, expected.masks)


AFTERWARDS = """
import gc, signal
from concurrent.futures import ThreadPoolExecutor
import skimage.data
from prm_runtime.segmenter import Segmenter

def segment() -> None:
    picture = skimage.data.chelsea()
    frames = [picture, picture[:200], picture[:, :300].copy()] * 4
    one = Segmenter.open(backend="openvino", threads=2)
    several = Segmenter.open(backend="openvino", threads=2, streams=2)
    with several, ThreadPoolExecutor(3) as threads:
        list(threads.map(several, frames))
    for frame in frames:
        one(frame)

segment()
gc.collect()
received = []
signal.signal(signal.SIGINT, lambda number, _: received.append(number))
signal.raise_signal(signal.SIGINT)
print(received)
"""


def test_signals_come_as_usual_after_openvino_was_let_go_of() -> None:
    done = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[2]", (done.returncode, done.stderr)


FIRST_FRAMES = """
import sys
from threading import Barrier, Thread
from prm_runtime.backends.openvino import openvino

sys.setswitchinterval(1e-6)
together = Barrier(4)

def convert() -> None:
    together.wait()
    openvino.Type.f32.to_dtype()  # what the first frame of each stream does

threads = [Thread(target=convert) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_frames_of_streams_do_not_wait_for_each_other() -> None:
    subprocess.run([sys.executable, "-c", FIRST_FRAMES], check=True, timeout=60)


@pytest.mark.parametrize("streams", [0, -1])
def test_stream_counts_are_checked(streams: int) -> None:
    with pytest.raises(PrmError, match="streams must be at least 1"):
        create_backend("onnxruntime", 2, streams)


def test_an_installed_tensorrt_without_a_gpu_says_so() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX")
    if has_gpu():
        pytest.skip("there is a GPU")
    with pytest.raises(
        PrmError, match=r"no NVIDIA GPU can be used .* --backend onnxruntime|needs? cuda-python"
    ):
        create_backend("tensorrt-rtx")


def has_gpu() -> bool:
    try:
        open_cuda()
    except PrmError:
        return False
    return True


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_an_engine_finds_what_onnx_runtime_finds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRM_ENGINE_CACHE", str(tmp_path))
    backend_or_skip(name)
    on_gpu, on_cpu = Segmenter.open(backend=name), Segmenter.open()
    frame = skimage.data.chelsea()
    for _ in range(3):  # run, capture, replay
        found, expected = on_gpu.evidence(frame), on_cpu.evidence(frame)
        np.testing.assert_allclose(found.class_maps, expected.class_maps, atol=0.02)
        np.testing.assert_array_equal(found.peaks, expected.peaks)
        for prm, reference in zip(found.prms, expected.prms, strict=True):
            assert np.corrcoef(prm.ravel(), reference.ravel())[0, 1] > 0.9999
