"""Engines that TensorRT-RTX really builds, which takes no GPU; and what is said without a TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from prm_runtime.backends import GraphUse, create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.engines import provide
from prm_runtime.engines.build import build_engine
from prm_runtime.engines.cache import EngineCache
from prm_runtime.engines.flavors import FLAVORS, Flavor, load_flavor

HAS_RTX = find_spec("tensorrt_rtx") is not None
needs_rtx = pytest.mark.skipif(not HAS_RTX, reason=f"needs TensorRT-RTX: {FLAVORS['tensorrt-rtx'].install}")


@pytest.fixture(scope="module")
def rtx() -> Flavor:
    return load_flavor("tensorrt-rtx")


@needs_rtx
@pytest.mark.parametrize("name", ["forward", "backprop"])
def test_both_graphs_become_engines(rtx: Flavor, colour_bundle: Path, tmp_path: Path, name: str) -> None:
    bundle = Bundle.open(colour_bundle)
    model, use = bundle.read(f"{name}.onnx"), GraphUse.of(bundle.manifest)
    shares: list[float] = []
    cache = EngineCache(tmp_path)
    built = provide.provide_engine(
        rtx, model, use, "portable", cache, notes={"kind": name}, on_progress=shares.append
    )
    assert built.seconds is not None
    assert len(built.engine.content) > 10_000
    assert min(shares) > 0
    assert 0.5 < max(shares) <= 1
    assert sum(b >= a for a, b in pairwise(shares)) > 0.9 * len(shares)
    again = provide.provide_engine(rtx, model, use, "portable", cache)
    assert again.seconds is None
    assert again.engine == built.engine


@needs_rtx
def test_what_cannot_be_taken_from_the_cache_is_built_anew(
    rtx: Flavor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[bytes] = []

    def build(flavor: Flavor, model: bytes, use: GraphUse, **_: object) -> bytes:
        built.append(model)
        return b"engine of " + model

    monkeypatch.setattr(provide, "build_engine", build)
    cache = EngineCache(tmp_path)

    def get(
        device: str = "portable", convert: Callable[[bytes], bytes] | None = None, **more: object
    ) -> bytes:
        precision = "fp16" if convert else "as exported"
        return provide.provide_engine(
            rtx, b"graph", GraphUse(), device, cache, precision=precision, convert=convert, **more
        ).engine.content

    assert get() == get() == b"engine of graph"
    assert len(built) == 1
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert get() == b"engine of graph"
    assert len(built) == 2
    get(rebuild=True)
    get("another GPU")
    assert len(built) == 4
    assert get(convert=bytes.upper) == get(convert=bytes.upper) == b"engine of GRAPH"
    assert len(built) == 5


@needs_rtx
def test_a_graph_that_is_none_is_named(rtx: Flavor) -> None:
    with pytest.raises(PrmError, match=r"tensorrt-rtx .* cannot read the graph: "):
        build_engine(rtx, b"no graph", GraphUse())


@needs_rtx
def test_an_engine_does_not_load_without_a_gpu(rtx: Flavor) -> None:
    with pytest.raises(PrmError, match=r"tensorrt-rtx .* cannot load the engine: "):
        rtx.load(b"no engine")


def test_an_unknown_flavor_is_named() -> None:
    with pytest.raises(
        PrmError, match="unknown TensorRT flavor 'tensorflow'; choose one of: tensorrt, tensorrt-rtx"
    ):
        load_flavor("tensorflow")


@pytest.mark.parametrize("name", FLAVORS)
def test_an_absent_flavor_is_named_with_the_command_that_installs_it(name: str) -> None:
    if find_spec(FLAVORS[name].module) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(PrmError, match=f"{name} is not installed; run: pip install"):
        load_flavor(name)
    with pytest.raises(PrmError, match="run: pip install"):
        create_backend(name)


def test_a_broken_install_is_told_from_an_absent_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "prm_broken_trt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    info = SimpleNamespace(module="prm_broken_trt", install="pip install it", oldest=(10, 10))
    monkeypatch.setitem(FLAVORS, "tensorrt", info)
    with pytest.raises(
        PrmError, match=r"does not load \(libnvinfer.so.10: cannot open\); run: pip install it"
    ):
        load_flavor("tensorrt")


def test_an_old_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "prm_old_trt.py").write_text("__version__ = '10.9.0.34'")
    monkeypatch.syspath_prepend(str(tmp_path))
    info = SimpleNamespace(module="prm_old_trt", install="pip install it", oldest=(10, 10))
    monkeypatch.setitem(FLAVORS, "tensorrt", info)
    with pytest.raises(PrmError, match=r"10.9.0.34 is too old, 10.10 is needed; run: pip install it"):
        load_flavor("tensorrt")
