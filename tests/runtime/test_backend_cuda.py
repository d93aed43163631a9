from __future__ import annotations

from typing import Any

import onnx
import onnxruntime
import pytest
from tests.fixtures.colour_blobs import backprop_model

from prm_runtime.backends import create_backend, onnxruntime_cuda
from prm_runtime.console import PrmError


class PretendedSession(onnxruntime.InferenceSession):  # type: ignore[misc]
    """A session on the CPU that claims to have what it was asked for; what a GPU would say."""

    def __init__(self, model: bytes, options: Any, providers: list[str]) -> None:
        super().__init__(model, options, providers=["CPUExecutionProvider"])
        self._asked = providers

    def get_providers(self) -> list[str]:
        return self._asked


def test_the_identity_model_is_what_it_is_called() -> None:
    model = onnx.load_from_string(onnxruntime_cuda.IDENTITY)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]


def test_what_really_runs_is_asked_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_in = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: compiled_in)
    try:
        backend = create_backend("cuda")
    except PrmError as error:
        assert "does not run on CUDA here but on CPUExecutionProvider" in str(error)  # noqa: PT017
        assert "onnxruntime-gpu in place of onnxruntime" in str(error)  # noqa: PT017
    else:
        assert "CUDAExecutionProvider" in backend.description


def test_it_says_which_providers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendedSession)
    backend = create_backend("cuda")
    assert backend.description.endswith("CUDAExecutionProvider then CPUExecutionProvider")
    backend.compile(backprop_model().SerializeToString())


def test_a_graph_that_falls_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", PretendedSession)
    backend = create_backend("cuda")
    monkeypatch.setattr(onnxruntime, "InferenceSession", pretended)
    with pytest.raises(PrmError, match="does not run on CUDA here"):
        backend.compile(backprop_model().SerializeToString())


@pytest.mark.gpu
def test_a_gpu_runs_a_graph() -> None:
    try:
        backend = create_backend("cuda")
    except PrmError as error:
        pytest.skip(str(error))
    assert "CUDAExecutionProvider" in backend.description
    backend.compile(backprop_model().SerializeToString())
