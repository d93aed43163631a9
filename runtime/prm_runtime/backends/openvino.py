"""OpenVINO on the CPU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from prm_runtime.backends.base import ANY_USE, GraphUse
from prm_runtime.errors import PrmError

MAX_COMPILED_SHAPES = (
    8  # pictures of a folder come in few aspects; each costs memory and a second of compiling
)


class OpenVinoGraph:
    """One model, compiled once for each frame size."""

    def __init__(
        self, core: openvino.Core, model: openvino.Model, config: dict[str, Any], resident: frozenset[str]
    ) -> None:
        """Keep what compiling needs; nothing is compiled before the first run."""
        self._core, self._model, self._config, self._resident = core, model, config, resident
        self._inputs = [port.get_any_name() for port in model.inputs]
        self._outputs = [port.get_any_name() for port in model.outputs]
        self._compiled: OrderedDict[tuple[tuple[int, ...], ...], openvino.InferRequest] = OrderedDict()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph; see :class:`prm_runtime.backends.base.Graph`."""
        arrays = {name: np.ascontiguousarray(inputs[name]) for name in self._inputs}
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
            port.get_any_name(): (-1 if port.partial_shape[0].is_dynamic else shape[0], *shape[1:])
            for port, shape in zip(self._model.inputs, shapes.values(), strict=True)
        }
        key = tuple(fixed.values())
        if key not in self._compiled:
            model = self._model.clone()
            model.reshape({name: openvino.PartialShape(list(shape)) for name, shape in fixed.items()})
            compiled = self._core.compile_model(model, "CPU", self._config)
            self._compiled[key] = compiled.create_infer_request()
            if len(self._compiled) > MAX_COMPILED_SHAPES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return self._compiled[key]


class OpenVino:
    """OpenVINO with its CPU device, in float32 so that results agree with other engines."""

    concurrent = False  # one request per size, whose tensors are used again

    def __init__(self, threads: int | None = None) -> None:
        """Choose the number of threads; ``None`` uses all physical cores."""
        self._core = openvino.Core()
        self._config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            self._config["INFERENCE_NUM_THREADS"] = threads

    @property
    def description(self) -> str:
        """Engine, version and device."""
        return f"OpenVINO {openvino.__version__.split('-')[0]}, CPU"

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> OpenVinoGraph:
        """Compile a serialised ONNX model.

        Raises:
            PrmError: If OpenVINO cannot read it.
        """
        try:
            network = self._core.read_model(_inline_functions(model))
        except Exception as error:  # openvino's and onnx's exception types have no common base of their own
            reason = str(error).strip().splitlines()[-1]
            raise PrmError(f"OpenVINO {openvino.__version__} cannot read the graph: {reason}") from error
        return OpenVinoGraph(self._core, network, self._config, use.resident)


def _inline_functions(model: bytes) -> bytes:
    """Replace model-local functions (PeakFind) by their bodies: OpenVINO does not read functions."""
    import onnx
    from onnx import inliner

    inlined: bytes = inliner.inline_local_functions(onnx.load_from_string(model)).SerializeToString()
    return inlined
