"""ONNX Runtime on the CPU: the default engine, part of the base install."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from prm_runtime.backends.base import ANY_USE, GraphUse, threads_of_each
from prm_runtime.errors import PrmError


class OnnxRuntimeGraph:
    """One ONNX Runtime session."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Wrap a session."""
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph; see :class:`prm_runtime.backends.base.Graph`."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


class OnnxRuntimeCpu:
    """ONNX Runtime with its CPU provider."""

    concurrent = True

    def __init__(self, threads: int | None = None, streams: int = 1) -> None:
        """Choose the number of threads; ``None`` uses all physical cores. ``streams`` runs share them."""
        self.threads = threads_of_each(threads, streams)
        self.in_work = 1 if threads == 1 else 2  # each run brings its threads: more are in each other's way
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = self.threads or 0
        self._options.log_severity_level = 3
        # Threads that spin compete with proposals, and with other programs, for the same cores: none after a
        # run, and within it no longer than until there is work again. Older versions ignore the duration.
        self._options.add_session_config_entry("session.force_spinning_stop", "1")
        self._options.add_session_config_entry("session.intra_op.spin_duration_us", "10")
        # A plan of the memory is kept for every shape of inputs, and the number of peaks changes with frames.
        self._options.enable_mem_pattern = False
        # Sums of products of int8 models would saturate on x86 CPUs without VNNI.
        self._options.add_session_config_entry("session.x64quantprecision", "1")

    @property
    def description(self) -> str:
        """Engine, version and device."""
        return f"ONNX Runtime {onnxruntime.__version__}, CPU"

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> OnnxRuntimeGraph:
        """Compile a serialised ONNX model.

        Raises:
            PrmError: If ONNX Runtime cannot load it.
        """
        del use  # takes any size
        try:
            session = onnxruntime.InferenceSession(model, self._options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception types have no common base of their own
            reason = str(error).splitlines()[0]
            raise PrmError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load the graph: {reason}"
            ) from error
        return OnnxRuntimeGraph(session)
