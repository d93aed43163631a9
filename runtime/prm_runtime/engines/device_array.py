"""Arrays in device memory, handed between libraries without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_runtime.engines.cuda import Cuda
from prm_runtime.errors import PrmError

_DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


class DeviceArray:
    """An array in device memory, C-contiguous.

    Arrays of PyCUDA, CuPy, torch and Numba are taken as they are (``__cuda_array_interface__``), and all of
    them take this one; so are those that speak DLPack alone.
    """

    def __init__(
        self, cuda: Cuda, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object
    ) -> None:
        """Describe memory, and keep alive who owns it."""
        self._cuda, self.address, self.shape, self.dtype, self._owner = cuda, address, shape, dtype, owner

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The protocol's version 3; whatever wrote the memory has finished."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
        }

    def __getitem__(self, rows: slice) -> DeviceArray:
        """A contiguous part of the first axis, in the same memory."""
        start, stop, _ = rows.indices(self.shape[0])
        row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        shape = (max(0, stop - start), *self.shape[1:])
        return DeviceArray(self._cuda, self.address + start * row, shape, self.dtype, self._owner)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """A copy in host memory."""
        if copy is False:
            raise ValueError("an array in device memory cannot be seen without copying it")
        array = np.empty(self.shape, self.dtype)
        self._cuda.download(self.address, array)
        self._cuda.synchronize()
        return array if dtype is None else array.astype(dtype)


def is_on_device(value: object) -> bool:
    """Whether an array says that it is in device memory, by either protocol."""
    if hasattr(value, "__cuda_array_interface__"):
        return True
    place = getattr(value, "__dlpack_device__", None)
    return place is not None and int(place()[0]) in _DLPACK_CUDA


def device_array(cuda: Cuda, name: str, value: Any) -> DeviceArray | None:
    """View an array that is in device memory; None for all others.

    Args:
        cuda: The GPU that will read it; what the array's own stream still has to do is waited for.
        name: What the array is, for errors.
        value: An array with ``__cuda_array_interface__``, or with ``__dlpack__`` (needs cuda-core).

    Raises:
        PrmError: If it is not C-contiguous, or only speaks DLPack and cuda-core is not installed.
    """
    if not is_on_device(value):
        return None
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        return _from_dlpack(cuda, name, value)
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides")
    _check_contiguous(name, shape, None if strides is None else tuple(strides), dtype.itemsize)
    if interface.get("stream") is not None:
        cuda.synchronize(int(interface["stream"]))
    return DeviceArray(cuda, int(interface["data"][0]), shape, dtype, value)


def _from_dlpack(cuda: Cuda, name: str, value: Any) -> DeviceArray:
    try:
        from cuda.core.utils import StridedMemoryView
    except ImportError as error:
        raise PrmError(
            f"{name}: a device array without __cuda_array_interface__ needs cuda-core; "
            "run: pip install cuda-core"
        ) from error
    view = StridedMemoryView.from_dlpack(value, stream_ptr=cuda.stream)
    shape, dtype = tuple(view.shape), np.dtype(view.dtype)
    strides = None if view.strides is None else tuple(step * dtype.itemsize for step in view.strides)
    _check_contiguous(name, shape, strides, dtype.itemsize)
    return DeviceArray(cuda, int(view.ptr), shape, dtype, view)


def _check_contiguous(
    name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None, itemsize: int
) -> None:
    if strides is not None and strides != _contiguous_strides(shape, itemsize):
        raise PrmError(f"{name}: the device array is not C-contiguous (strides {strides}); copy it first")


def _contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides[: len(shape)]))
