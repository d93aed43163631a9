"""A loaded engine, run on arrays of the host or of the device."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_runtime.engines.cuda import Cuda
from prm_runtime.engines.device_array import DeviceArray, device_array
from prm_runtime.engines.flavors import Flavor
from prm_runtime.errors import PrmError

MAX_CAPTURED = 8  # CUDA graphs per engine: pictures of a folder come in few aspects


@dataclass(frozen=True)
class Binding:
    """An input or output of an engine.

    Attributes:
        name: Its name.
        dtype: Its type.
        shape: Its shape, -1 where it is free.
        on_host: Whether TensorRT wants it in host memory, as it does where shapes depend on values.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    on_host: bool


class Buffer:
    """Device memory that grows as needed and goes with its owner."""

    def __init__(self, cuda: Cuda) -> None:
        """Start without memory."""
        self._cuda, self._size, self._address = cuda, 0, 0
        self._release: weakref.finalize[..., Any] | None = None

    def reserve(self, size: int) -> int:
        """Make room for this many bytes and return the address; it changes only if there was too little."""
        if size > self._size:
            if self._release is not None:
                self._release()
            self._address, self._size = self._cuda.allocate(size), size
            self._release = weakref.finalize(self, self._cuda.free, self._address)
        return self._address


class EngineGraph:
    """One engine with its context and memory; see :class:`prm_runtime.backends.base.Graph`."""

    def __init__(self, flavor: Flavor, engine: Any, cuda: Cuda, resident: Set[str] = frozenset()) -> None:
        """Make a context.

        Args:
            flavor: The TensorRT that loaded the engine.
            engine: The loaded engine.
            cuda: The GPU that it is on.
            resident: Outputs that stay in device memory.
        """
        self._engine, self._cuda, self._resident = engine, cuda, resident
        self._context = flavor.create_context(engine)
        bindings = _bindings(flavor, engine)
        self._inputs, self._outputs = bindings[True], bindings[False]
        self._buffers = {binding.name: Buffer(cuda) for binding in (*self._inputs, *self._outputs)}
        self._on_host: dict[str, NDArray[Any]] = {}
        # a replay would not write to host memory
        host_outputs = any(binding.on_host for binding in self._outputs)
        self._captures = cuda.captures_graphs and not flavor.captures_graphs and not host_outputs
        self._captured: OrderedDict[tuple[object, ...], Any] = OrderedDict()

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the engine.

        Args:
            inputs: One array per input, of the host or of the device; the latter are read in place.

        Returns:
            One array per output; the resident ones as :class:`DeviceArray`, valid until the next run.

        Raises:
            PrmError: If an input has another type or shape than the engine was built for.
        """
        bound = [self._bind_input(binding, inputs[binding.name]) for binding in self._inputs]
        if missing := self._context.infer_shapes():
            raise PrmError(f"the engine's shapes do not follow from its inputs: {', '.join(missing)}")
        results = {binding.name: self._bind_output(binding) for binding in self._outputs}
        self._enqueue((*bound, *(_address(result) for result in results.values())))
        outputs = {name: self._fetch(name, result) for name, result in results.items()}
        self._cuda.synchronize()
        return outputs

    def _bind_input(self, binding: Binding, value: Any) -> tuple[object, ...]:
        """Bind an input and return all of it that work depends on, contents of device memory aside."""
        on_device = None if binding.on_host else device_array(self._cuda, binding.name, value)
        if on_device is not None:
            _check(binding, on_device.shape, on_device.dtype)
            self._set_shape(binding.name, on_device.shape)
            self._context.set_tensor_address(binding.name, on_device.address)
            return (on_device.shape, on_device.address)
        array = np.ascontiguousarray(value)
        _check(binding, array.shape, array.dtype)
        if binding.on_host:
            self._on_host[binding.name] = array  # TensorRT keeps only the address
            self._context.set_tensor_address(binding.name, array.ctypes.data)
            return (array.tobytes(),)
        self._set_shape(binding.name, array.shape)
        address = self._buffers[binding.name].reserve(array.nbytes)
        self._cuda.upload(array, address)
        self._context.set_tensor_address(binding.name, address)
        return (array.shape, address)

    def _set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._context.set_input_shape(name, shape):
            smallest, _, largest = self._engine.get_tensor_profile_shape(name, 0)
            raise PrmError(
                f"{name} is {list(shape)}, the engine was built for {list(smallest)} to {list(largest)}"
            )

    def _bind_output(self, binding: Binding) -> DeviceArray | NDArray[Any]:
        shape = tuple(self._context.get_tensor_shape(binding.name))
        if binding.on_host:
            array = np.empty(shape, binding.dtype)
            self._context.set_tensor_address(binding.name, array.ctypes.data)
            return array
        size = int(np.prod(shape)) * binding.dtype.itemsize
        buffer = self._buffers[binding.name]
        address = buffer.reserve(size)
        self._context.set_tensor_address(binding.name, address)
        return DeviceArray(self._cuda, address, shape, binding.dtype, buffer)

    def _enqueue(self, key: tuple[object, ...]) -> None:
        """Do the work; the second time that it is the same it is captured, from then on replayed."""
        if not self._captures:
            self._execute()
        elif (graph := self._captured.get(key)) is not None:
            self._captured.move_to_end(key)
            self._cuda.replay(graph)
        elif key in self._captured:
            self._cuda.begin_capture()
            self._execute()
            self._captured[key] = self._cuda.end_capture()
            self._cuda.replay(self._captured[key])
        else:
            self._execute()  # a first run allocates, which cannot be captured
            self._captured[key] = None
            if len(self._captured) > MAX_CAPTURED:
                self._captured.popitem(last=False)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._cuda.stream):
            raise PrmError(
                "TensorRT could not run the engine; delete it from the cache to have it built again"
            )

    def _fetch(self, name: str, result: DeviceArray | NDArray[Any]) -> DeviceArray | NDArray[Any]:
        if name in self._resident or not isinstance(result, DeviceArray):
            return result
        array = np.empty(result.shape, result.dtype)
        self._cuda.download(result.address, array)
        return array


def _bindings(flavor: Flavor, engine: Any) -> dict[bool, list[Binding]]:
    """Inputs (True) and outputs (False) of an engine."""
    trt = flavor.trt
    found: dict[bool, list[Binding]] = {True: [], False: []}
    for name in (engine.get_tensor_name(index) for index in range(engine.num_io_tensors)):
        binding = Binding(
            name,
            np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
            tuple(engine.get_tensor_shape(name)),
            engine.get_tensor_location(name) == trt.TensorLocation.HOST,
        )
        found[engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT].append(binding)
    return found


def _check(binding: Binding, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    fits = len(shape) == len(binding.shape) and all(
        expected in (-1, found) for expected, found in zip(binding.shape, shape, strict=True)
    )
    if dtype != binding.dtype or not fits:
        expected = ["any" if extent < 0 else extent for extent in binding.shape]
        raise PrmError(
            f"{binding.name} must be {binding.dtype} {expected}, got {dtype} {list(shape)}".replace("'", "")
        )


def _address(result: DeviceArray | NDArray[Any]) -> int:
    return result.address if isinstance(result, DeviceArray) else result.ctypes.data
