"""The little of CUDA that running engines takes, through cuda-python or PyCUDA.

Nothing here is imported before an engine is to run; without a driver it says so in one line.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

from numpy.typing import NDArray

from prm_runtime.errors import PrmError

NO_DRIVER = "no NVIDIA GPU can be used ({}): install NVIDIA's driver, or take --backend onnxruntime"


class Cuda(Protocol):
    """One GPU, one stream."""

    stream: int
    device: str
    compute_capability: int
    captures_graphs: bool

    def allocate(self, size: int) -> int:
        """Reserve bytes of device memory and return their address."""
        ...

    def free(self, address: int) -> None:
        """Give memory back."""
        ...

    def upload(self, array: NDArray[Any], address: int) -> None:
        """Copy a contiguous array to the device, in stream order."""
        ...

    def download(self, address: int, array: NDArray[Any]) -> None:
        """Copy from the device into a contiguous array, in stream order."""
        ...

    def synchronize(self, stream: int | None = None) -> None:
        """Wait for a stream, by default this one."""
        ...

    def begin_capture(self) -> None:
        """Record the stream's work instead of doing it."""
        ...

    def end_capture(self) -> Any:
        """Return what was recorded, ready to be replayed."""
        ...

    def replay(self, graph: Any) -> None:
        """Do recorded work."""
        ...


class CudaPython:
    """CUDA's runtime through NVIDIA's cuda-python."""

    captures_graphs = True

    def __init__(self) -> None:
        """Use the current device.

        Raises:
            PrmError: If there is no driver or no GPU.
        """
        from cuda.bindings import runtime

        self._runtime = runtime
        try:
            count = self._call(runtime.cudaGetDeviceCount)
        except RuntimeError as error:  # cuda-python's own errors of a missing driver are RuntimeErrors too
            raise PrmError(NO_DRIVER.format(error)) from error
        if count == 0:
            raise PrmError(NO_DRIVER.format("the driver sees none"))
        number = self._call(runtime.cudaGetDevice)
        about = self._call(runtime.cudaGetDeviceProperties, number)
        name = about.name.decode() if isinstance(about.name, bytes) else str(about.name)
        self.compute_capability = about.major * 10 + about.minor
        self.device = f"{name} (sm_{self.compute_capability})"
        self.stream = int(self._call(runtime.cudaStreamCreate))

    def allocate(self, size: int) -> int:
        """See :class:`Cuda`."""
        return int(self._call(self._runtime.cudaMalloc, size))

    def free(self, address: int) -> None:
        """See :class:`Cuda`."""
        self._call(self._runtime.cudaFree, address)

    def upload(self, array: NDArray[Any], address: int) -> None:
        """See :class:`Cuda`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._runtime.cudaMemcpyAsync, address, array.ctypes.data, array.nbytes, kind, self.stream)

    def download(self, address: int, array: NDArray[Any]) -> None:
        """See :class:`Cuda`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._runtime.cudaMemcpyAsync, array.ctypes.data, address, array.nbytes, kind, self.stream)

    def synchronize(self, stream: int | None = None) -> None:
        """See :class:`Cuda`."""
        self._call(self._runtime.cudaStreamSynchronize, self.stream if stream is None else stream)

    def begin_capture(self) -> None:
        """See :class:`Cuda`."""
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._runtime.cudaStreamBeginCapture, self.stream, mode)

    def end_capture(self) -> Any:
        """See :class:`Cuda`."""
        graph = self._call(self._runtime.cudaStreamEndCapture, self.stream)
        return self._call(self._runtime.cudaGraphInstantiate, graph, 0)

    def replay(self, graph: Any) -> None:
        """See :class:`Cuda`."""
        self._call(self._runtime.cudaGraphLaunch, graph, self.stream)

    def _call(self, function: Any, *arguments: Any) -> Any:
        error, *results = function(*arguments)
        if int(error):
            _, text = self._runtime.cudaGetErrorString(error)
            raise RuntimeError(text.decode() if isinstance(text, bytes) else str(text))
        return results[0] if results else None


class PyCuda:
    """CUDA's driver through PyCUDA, for devices that have only that; it cannot capture graphs."""

    captures_graphs = False

    def __init__(self) -> None:
        """Use device 0 with its primary context, which TensorRT uses too.

        Raises:
            PrmError: If there is no driver or no GPU.
        """
        from pycuda import driver

        self._driver = driver
        try:
            driver.init()
            device = driver.Device(0)
        except driver.Error as error:
            raise PrmError(NO_DRIVER.format(error)) from error
        self._context = device.retain_primary_context()
        self._context.push()
        major, minor = device.compute_capability()
        self.compute_capability = major * 10 + minor
        self.device = f"{device.name()} (sm_{self.compute_capability})"
        self._stream = driver.Stream()
        self.stream = int(self._stream.handle)
        self._held: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        """See :class:`Cuda`."""
        memory = self._driver.mem_alloc(size)
        self._held[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        """See :class:`Cuda`."""
        self._held.pop(address).free()

    def upload(self, array: NDArray[Any], address: int) -> None:
        """See :class:`Cuda`."""
        self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, address: int, array: NDArray[Any]) -> None:
        """See :class:`Cuda`."""
        self._driver.memcpy_dtoh_async(array, address, self._stream)

    def synchronize(self, stream: int | None = None) -> None:
        """See :class:`Cuda`; a stream of somebody else's is waited for with all the others."""
        if stream is None:
            self._stream.synchronize()
        else:
            self._driver.Context.synchronize()

    def begin_capture(self) -> None:
        """Not to be called: see ``captures_graphs``."""
        raise NotImplementedError("PyCUDA cannot capture CUDA graphs")

    def end_capture(self) -> Any:
        """Not to be called: see ``captures_graphs``."""
        raise NotImplementedError("PyCUDA cannot capture CUDA graphs")

    def replay(self, graph: Any) -> None:
        """Not to be called: see ``captures_graphs``."""
        raise NotImplementedError("PyCUDA cannot capture CUDA graphs")


def open_cuda() -> Cuda:
    """The GPU, through cuda-python or else PyCUDA.

    Raises:
        PrmError: If neither is installed, or there is no GPU.
    """
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CudaPython()
    if find_spec("pycuda") is not None:
        return PyCuda()
    raise PrmError(
        "arrays and engines on a GPU need cuda-python (or PyCUDA), which is not installed; "
        "run: pip install cuda-python"
    )
