"""Arrays in device memory, handed between libraries without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_runtime.console import PrmError
from prm_runtime.engines.cuda import Cuda


class DeviceArray:
    """An array in device memory, C-contiguous.

    Arrays of PyCUDA, CuPy, torch and Numba are taken as they are (``__cuda_array_interface__``), and all of
    them take this one.
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


def device_array(cuda: Cuda, name: str, value: Any) -> DeviceArray | None:
    """View an array that is in device memory; None for all others.

    Raises:
        PrmError: If it is not C-contiguous.
    """
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        return None
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides")
    if strides is not None and tuple(strides) != _contiguous_strides(shape, dtype.itemsize):
        raise PrmError(
            f"{name}: the device array is not C-contiguous (strides {tuple(strides)}); copy it first"
        )
    if interface.get("stream") is not None:
        cuda.synchronize(int(interface["stream"]))
    return DeviceArray(cuda, int(interface["data"][0]), shape, dtype, value)


def _contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides[: len(shape)]))
