"""Frames as callers hold them, brought to where the superpixels are made: the host's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prm_runtime.engines.cuda import Cuda, open_cuda
from prm_runtime.engines.device_array import device_array, is_on_device
from prm_runtime.errors import PrmError


@runtime_checkable
class CudaArray(Protocol):
    """An array in a GPU's memory, of PyCUDA, CuPy, torch, Numba ..."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Shape, type and address."""
        ...


@runtime_checkable
class DlpackArray(Protocol):
    """An array of any library that speaks DLPack, in the host's memory or a GPU's."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        """A capsule with its description."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """What kind of device it is on, and which."""
        ...


FrameLike = NDArray[np.uint8] | CudaArray | DlpackArray
"""What a frame may be: RGB, uint8 [H, W, 3]."""
FrameT = TypeVar("FrameT", bound=FrameLike)


class HostFrames:
    """Takes frames of any kind; opens the GPU when the first one there comes."""

    def __init__(self, open_gpu: Callable[[], Cuda] = open_cuda) -> None:
        """Open nothing yet."""
        self._open_gpu = open_gpu
        self._gpu: Cuda | None = None
        self._lock = Lock()

    def __call__(self, frame: FrameLike) -> NDArray[np.uint8]:
        """The pixels of a frame in the host's memory.

        Args:
            frame: RGB, uint8 [H, W, 3]: a numpy array or another array of the host (DLPack), which are not
                copied, or an array in a GPU's memory (``__cuda_array_interface__`` or DLPack), C-contiguous,
                which is copied once. What its stream still has to do is waited for.

        Returns:
            RGB, uint8 [H, W, 3]; read-only where the array's owner says so.

        Raises:
            PrmError: If it is no such array, or it is on a GPU and CUDA cannot be used from Python.
        """
        pixels: Any
        on_device = device_array(self._cuda(), "frame", frame) if is_on_device(frame) else None
        if on_device is not None:
            check_frame(on_device.shape, on_device.dtype)
            pixels = np.asarray(on_device)
        elif isinstance(frame, np.ndarray):
            pixels = frame
        elif isinstance(frame, DlpackArray):
            pixels = _from_dlpack(frame)
        else:
            kind = type(frame).__name__
            raise PrmError(f"a frame must be RGB, uint8 [H, W, 3], got {kind}; numpy.asarray may convert it")
        check_frame(pixels.shape, pixels.dtype)
        host: NDArray[np.uint8] = pixels
        return host

    def _cuda(self) -> Cuda:
        with self._lock:
            self._gpu = self._gpu or self._open_gpu()
            return self._gpu


def _from_dlpack(frame: DlpackArray) -> NDArray[Any]:
    try:
        return np.from_dlpack(frame)
    except (BufferError, RuntimeError, TypeError) as error:
        raise PrmError(f"the frame, a {type(frame).__name__}, cannot be read by DLPack: {error}") from error


def check_frame(shape: Sequence[int], dtype: DTypeLike) -> None:
    """Refuse what is no frame.

    Raises:
        PrmError: If it is not uint8 [H, W, 3] with at least one pixel.
    """
    if len(shape) != 3 or shape[2] != 3 or np.dtype(dtype) != np.uint8 or 0 in shape:
        raise PrmError(f"a frame must be RGB, uint8 [H, W, 3], got {np.dtype(dtype)} {list(shape)}")
