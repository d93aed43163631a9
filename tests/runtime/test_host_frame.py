"""Frames of every kind; what a GPU would hold is in plain memory here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.host_cuda import ForeignArray, HostCuda

from prm_runtime.console import PrmError
from prm_runtime.host_frame import HostFrames
from prm_runtime.segmenter import Segmenter

CUDA, HOST = 2, 1  # kinds of devices in DLPack


class DlpackOnly:
    """An array that speaks DLPack and says that it is on a device of some kind."""

    def __init__(self, array: np.ndarray, kind: int) -> None:
        self.array, self.kind, self.streams = array, kind, []

    def __dlpack__(self, *, stream: Any = None, **rest: Any) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0


def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def no_gpu() -> Any:
    raise AssertionError("the GPU was opened")


def test_numpy_arrays_are_taken_as_they_are() -> None:
    image = frame()
    assert HostFrames(no_gpu)(image) is image
    assert HostFrames(no_gpu)(image[::2, ::-1]).base is image


def test_arrays_of_the_host_are_not_copied() -> None:
    image = frame()
    found = HostFrames(no_gpu)(DlpackOnly(image, HOST))
    np.testing.assert_array_equal(found, image)
    assert np.shares_memory(found, image)


def test_torch_tensors_are_frames(colour_segmenter: Segmenter) -> None:
    torch = pytest.importorskip("torch")
    image, _ = draw_blobs()
    expected = colour_segmenter(image)
    np.testing.assert_array_equal(colour_segmenter(torch.from_numpy(image)).masks, expected.masks)


def test_arrays_of_a_gpu_are_copied_to_the_host_once() -> None:
    cuda, image = HostCuda(), frame()
    take = HostFrames(lambda: cuda)
    found = take(ForeignArray(image))
    np.testing.assert_array_equal(found, image)
    assert not np.shares_memory(found, image)
    assert cuda.downloaded == image.nbytes


def test_the_gpu_is_opened_once() -> None:
    opened = []
    take = HostFrames(lambda: opened.append(1) or HostCuda())
    for _ in range(3):
        take(ForeignArray(frame()))
    assert len(opened) == 1


def test_arrays_of_a_gpu_may_speak_dlpack_alone() -> None:
    pytest.importorskip("cuda.core.utils")
    cuda, array = HostCuda(), DlpackOnly(frame(), CUDA)
    found = HostFrames(lambda: cuda)(array)
    np.testing.assert_array_equal(found, array.array)
    assert cuda.downloaded == found.nbytes
    assert array.streams == [cuda.stream]  # so that their writing is waited for


def test_dlpack_arrays_of_a_gpu_have_to_be_contiguous() -> None:
    pytest.importorskip("cuda.core.utils")
    flipped = DlpackOnly(frame().transpose(1, 0, 2), CUDA)
    with pytest.raises(PrmError, match="frame: the device array is not C-contiguous"):
        HostFrames(HostCuda)(flipped)


def test_a_wrong_array_of_a_gpu_is_refused_before_it_is_copied() -> None:
    cuda = HostCuda()
    with pytest.raises(PrmError, match=r"got float32 \[6, 8, 3\]"):
        HostFrames(lambda: cuda)(ForeignArray(frame().astype(np.float32)))
    assert cuda.downloaded == 0


def test_what_is_no_array_is_named() -> None:
    with pytest.raises(PrmError, match=r"must be RGB, uint8 \[H, W, 3\], got str; numpy\.asarray"):
        HostFrames()("dog.jpg")  # type: ignore[arg-type]


def test_a_tensor_that_cannot_be_shared_is_an_error_for_people() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(PrmError, match=r"the frame, a Tensor, cannot be read by DLPack: .*grad"):
        HostFrames()(torch.zeros(4, 4, 3, requires_grad=True))


@pytest.mark.gpu
def test_frames_on_a_gpu(colour_segmenter: Segmenter) -> None:
    cupy = pytest.importorskip("cupy", reason="needs CuPy and an NVIDIA GPU")
    if not cupy.is_available():
        pytest.skip("CuPy sees no NVIDIA GPU")
    image, _ = draw_blobs()
    found = colour_segmenter(cupy.asarray(image))
    np.testing.assert_array_equal(found.masks, colour_segmenter(image).masks)
