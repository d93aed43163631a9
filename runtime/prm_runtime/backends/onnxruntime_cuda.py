"""ONNX Runtime on an NVIDIA GPU, by its CUDA provider (``onnxruntime-gpu``)."""

from __future__ import annotations

from warnings import catch_warnings

import onnxruntime

from prm_runtime.backends.base import ANY_USE, GraphUse
from prm_runtime.backends.onnxruntime_cpu import OnnxRuntimeGraph
from prm_runtime.errors import PrmError

PROVIDER, FALLBACK = "CUDAExecutionProvider", "CPUExecutionProvider"
IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""The smallest ONNX model, y = x: what providers a session gets is known only once there is one."""


class OnnxRuntimeCuda:
    """ONNX Runtime with its CUDA provider, and the CPU's for what that cannot run."""

    concurrent = True

    def __init__(self, threads: int | None = None) -> None:
        """Check that the provider really runs.

        Args:
            threads: CPU threads for what stays on the CPU.

        Raises:
            PrmError: If it does not; with what runs instead.
        """
        self.threads = threads
        self.in_work = 1 if threads == 1 else 2
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads or 0
        self._options.log_severity_level = 3
        self._providers = self._session(IDENTITY).get_providers()

    @property
    def description(self) -> str:
        """Engine, version and the providers that are really used."""
        return f"ONNX Runtime {onnxruntime.__version__}, {' then '.join(self._providers)}"

    def compile(self, model: bytes, use: GraphUse = ANY_USE) -> OnnxRuntimeGraph:
        """Compile a serialised ONNX model.

        Raises:
            PrmError: If ONNX Runtime cannot load it, or would run it on the CPU.
        """
        del use  # takes any size
        return OnnxRuntimeGraph(self._session(model))

    def _session(self, model: bytes) -> onnxruntime.InferenceSession:
        try:
            with catch_warnings(action="ignore"):  # about what is said below in one line
                session = onnxruntime.InferenceSession(model, self._options, providers=[PROVIDER, FALLBACK])
        except Exception as error:  # its exception types have no common base of their own
            reason = str(error).splitlines()[0]
            raise PrmError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load the graph: {reason}"
            ) from error
        # It lists providers that are compiled in, and falls back in silence to one that runs.
        used = session.get_providers()
        if PROVIDER not in used:
            raise PrmError(
                f"ONNX Runtime {onnxruntime.__version__} does not run on CUDA here but on {', '.join(used)}: "
                "it needs onnxruntime-gpu in place of onnxruntime, an NVIDIA GPU, its driver, CUDA and cuDNN "
                "(docs/gpu.md); or take --backend onnxruntime"
            )
        return session
