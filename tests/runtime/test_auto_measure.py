from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from prm_runtime.auto import measure as module
from prm_runtime.auto.measure import fastest, measure
from prm_runtime.backends import Backend, GraphUse, create_backend
from prm_runtime.backends.base import BuildsEngines
from prm_runtime.bundle import Bundle
from prm_runtime.engines.cache import EngineCache
from prm_runtime.engines.flavors import load_flavor
from prm_runtime.engines.provide import provide_engine


class Clock:
    """Time passes only where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def step(self, *seconds: float) -> object:
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_the_fastest_round_counts() -> None:
    clock = Clock()
    steps = {"a": clock.step(5, 0.2, 0.4), "b": clock.step(0.3)}
    found = fastest(steps, budget=1.0, clock=clock)  # type: ignore[arg-type]
    assert found == pytest.approx({"a": 0.2, "b": 0.3})


@pytest.mark.parametrize(("seconds", "rounds"), [(10.0, module.LEAST_ROUNDS), (1e-6, module.MOST_ROUNDS)])
def test_it_is_short_but_not_too_short(seconds: float, rounds: int) -> None:
    clock, calls = Clock(), []
    step = clock.step(seconds)

    def counted() -> None:
        calls.append(1)
        step()  # type: ignore[operator]

    fastest({"a": counted}, budget=1.0, clock=clock)
    assert len(calls) == rounds


def test_what_does_not_run_is_named_with_the_reason(colour_bundle: Path) -> None:
    found = measure(Bundle.open(colour_bundle), ["onnxruntime", "cuda"], 1)
    if "cuda" in found.seconds:
        pytest.skip("there is a GPU")
    assert found.seconds["onnxruntime"] > 0
    assert "does not run on CUDA here but on" in found.unusable["cuda"]


def test_engines_that_would_first_be_built_are_left_out(
    colour_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unbuilt:
        concurrent, threads, in_work, description = True, None, 2, "unbuilt"

        def has_engines(self, bundle: Bundle) -> bool:
            return False

        def compile(self, *arguments: object) -> None:
            raise AssertionError("it would build for minutes")

    def create(name: str, threads: int | None) -> Backend:
        return Unbuilt() if name == "tensorrt" else create_backend(name, threads)  # type: ignore[return-value]

    monkeypatch.setattr(module, "create_backend", create)
    found = measure(Bundle.open(colour_bundle), ["onnxruntime", "tensorrt"], 1)
    assert set(found.seconds) == {"onnxruntime"}
    assert found.unusable["tensorrt"].startswith("its engines are not built yet: prm-export engines")


def test_tensorrt_knows_whether_its_engines_are_built(
    colour_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX, which builds without a GPU")
    from prm_runtime.backends import tensorrt

    monkeypatch.setenv("PRM_ENGINE_CACHE", str(tmp_path))
    monkeypatch.setattr(tensorrt, "open_cuda", lambda: SimpleNamespace(device="portable"))
    bundle, backend = Bundle.open(colour_bundle), create_backend("tensorrt-rtx")
    assert isinstance(backend, BuildsEngines)
    assert not isinstance(create_backend("onnxruntime"), BuildsEngines)
    manifest, flavor, cache = bundle.manifest, load_flavor("tensorrt-rtx"), EngineCache()
    gains = frozenset(spec.name for spec in manifest.backprop.inputs if spec.name != "peaks")
    use = GraphUse.of(manifest, resident=gains)
    for graph in (manifest.forward, manifest.backprop):
        assert not backend.has_engines(bundle)
        provide_engine(flavor, bundle.read(graph.file), use, "portable", cache)
    assert backend.has_engines(bundle)
