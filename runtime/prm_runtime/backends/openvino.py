"""OpenVINO on the CPU."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from threading import Lock, current_thread
from typing import Any
from weakref import WeakKeyDictionary, finalize

import numpy as np
from numpy.typing import NDArray

from prm_runtime.backends.base import ANY_USE, GraphUse, threads_of_each, usable_cpus
from prm_runtime.engines.cache import EngineKey
from prm_runtime.engines.compiled import CompiledCache
from prm_runtime.engines.openvino_import import without_converter
from prm_runtime.errors import PrmError
from prm_runtime.onnx_wire import read_signature

with without_converter():
    import openvino

# Its first call makes a table, which two threads at once would wait for each other over for ever.
openvino.Type.f32.to_dtype()

MAX_COMPILED_SHAPES = (
    8  # pictures of a folder come in few aspects; each costs memory and a second of compiling
)
SPARE = 2
"""Frames in work for each that the CPUs can work on at once: every run puts the thread that asks for it to
sleep and wakes one of OpenVINO's, and meanwhile a CPU waits if there is no other frame."""


class OpenVinoGraph:
    """One model, compiled once for each frame size.

    Args:
        core: OpenVINO.
        model: A serialised ONNX model.
        config: How to compile.
        use: Which outputs may stay in OpenVINO's memory, and where the model can be read again.
        cache: Where compiled models are found again.
        streams: Threads that may run it at once.

    Raises:
        PrmError: If OpenVINO cannot read the model.
    """

    def __init__(
        self,
        core: openvino.Core,
        model: bytes,
        config: Mapping[str, Any],
        use: GraphUse,
        cache: CompiledCache,
        streams: int = 1,
    ) -> None:
        self._core, self._config, self._resident = core, dict(config), use.resident
        self._streams = streams
        self._cache, self._key = cache, _key(core, model, config)
        # where all that was compiled is found again, the model is needed for a new size of frames alone
        self._read = use.reread or (lambda: model)
        if not cache.has_graph(self._key):
            _ = self._model  # now rather than with the first frame: it may be unreadable
        inputs, outputs = read_signature("the graph", model)
        self._is_free = {spec.name: isinstance(spec.shape[0], str) for spec in inputs}
        self._outputs = [spec.name for spec in outputs]
        self._compiled: OrderedDict[tuple[tuple[int, ...], ...], _Compiled] = OrderedDict()
        self._compiling = Lock()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph; see :class:`prm_runtime.backends.base.Graph`."""
        arrays = {name: np.ascontiguousarray(inputs[name]) for name in self._is_free}
        request = self._request({name: array.shape for name, array in arrays.items()})
        results = request.infer(arrays, share_inputs=True, share_outputs=True)
        return {
            name: results[index] if name in self._resident else results[index].copy()
            for index, name in enumerate(self._outputs)
        }

    def _request(self, shapes: Mapping[str, tuple[int, ...]]) -> openvino.InferRequest:
        # Sizes are fixed, which is faster; a free first dimension (the number of peaks) changes with every
        # frame and stays free.
        fixed = {
            name: (-1 if self._is_free[name] else shape[0], *shape[1:]) for name, shape in shapes.items()
        }
        key = tuple(fixed.values())
        with self._compiling:
            if key not in self._compiled:
                self._compiled[key] = _Compiled(self._compile(fixed), self._streams)
                if len(self._compiled) > MAX_COMPILED_SHAPES:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(key)
            return self._compiled[key].request()

    def _compile(self, shapes: Mapping[str, tuple[int, ...]]) -> openvino.CompiledModel:
        """The model for these shapes, from the cache if it is there."""
        text = json.dumps(shapes)
        if (path := self._cache.find(self._key, text)) is not None:
            with suppress(RuntimeError):  # it cannot be imported: compile it as if it were not there
                return self._core.import_model(openvino.tensor_from_file(path), "CPU", self._config)
        model = self._model.clone()
        model.reshape({name: openvino.PartialShape(list(shape)) for name, shape in shapes.items()})
        compiled = self._core.compile_model(model, "CPU", self._config)
        with suppress(OSError):  # without a cache it is compiled in each process
            self._cache.store(self._key, text, compiled.export_model().getvalue())
        return compiled

    @cached_property
    def _model(self) -> openvino.Model:
        content = self._read()
        try:
            model = self._core.read_model(_inline_functions(content))
        except Exception as error:  # openvino's and onnx's exception types have no common base of their own
            reason = str(error).strip().splitlines()[-1]
            raise PrmError(f"OpenVINO {openvino.__version__} cannot read the graph: {reason}") from error
        self._read = bytes  # the weights of a graph need not be held twice
        return model


class _Compiled:
    """A compiled model and its requests: one, or one for each thread that runs a stream."""

    def __init__(self, model: openvino.CompiledModel, streams: int) -> None:
        self._model, self._streams = model, streams
        self._requests: WeakKeyDictionary[object, openvino.InferRequest] = WeakKeyDictionary()
        self._free: deque[openvino.InferRequest] = deque()

    def request(self) -> openvino.InferRequest:
        """The request of the thread that asks, whose tensors last until it runs the model again."""
        owner = current_thread() if self._streams > 1 else self
        if owner not in self._requests:
            request = self._free.pop() if self._free else self._model.create_infer_request()
            self._requests[owner] = request
            if owner is not self:
                finalize(owner, self._free.append, request)  # a later thread takes it over
        return self._requests[owner]


class OpenVino:
    """OpenVINO with its CPU device, in float32 so that results agree with other engines."""

    def __init__(self, threads: int | None = None, streams: int = 1) -> None:
        """Choose the number of threads; ``None`` uses all physical cores. ``streams`` runs share them."""
        self.concurrent = streams > 1  # else there is one request per size, whose tensors are used again
        if streams > 1 and (threads is None or threads >= usable_cpus()):
            streams *= SPARE
        self.threads, self._streams = threads_of_each(threads, streams), streams
        self.in_work = streams
        self._core = _core()
        self._cache = CompiledCache()
        self._config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if streams > 1:
            self._config |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": streams}
        if threads:
            self._config["INFERENCE_NUM_THREADS"] = max(threads, streams)

    @property
    def description(self) -> str:
        """Engine, version and device."""
        return f"OpenVINO {openvino.__version__.split('-')[0]}, CPU"

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> OpenVinoGraph:
        """Compile a serialised ONNX model.

        Raises:
            PrmError: If OpenVINO cannot read it.
        """
        return OpenVinoGraph(self._core, model, self._config, use, self._cache, self._streams)


@cache
def _core() -> openvino.Core:
    """OpenVINO, once for the process.

    Its CPU plugin gives the thread that loads it a stack for signals. If the last model is let go of in
    another thread, the plugin frees this stack while it is in use, and the next signal ends the process.
    """
    return openvino.Core()


def _key(core: openvino.Core, model: bytes, config: Mapping[str, Any]) -> EngineKey:
    """Everything but shapes that a compiled model depends on."""
    device = core.get_property("CPU", "FULL_DEVICE_NAME")
    abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return EngineKey(
        graph=hashlib.sha256(model).hexdigest(),
        flavor="openvino",
        version=openvino.__version__,
        device=f"{device}, {', '.join(abilities)}",
        precision=json.dumps(dict(config), sort_keys=True),
        limits=(),
    )


def _inline_functions(model: bytes) -> bytes:
    """Replace model-local functions (PeakFind) by their bodies: OpenVINO does not read functions."""
    import onnx
    from onnx import inliner

    inlined: bytes = inliner.inline_local_functions(onnx.load_from_string(model)).SerializeToString()
    return inlined
