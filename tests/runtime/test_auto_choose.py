from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import moving_blobs, write_lossless_video, write_png

from prm_runtime.auto import candidates as module
from prm_runtime.auto import choose_backend
from prm_runtime.auto.cache import FOLDER_VARIABLE, ChoiceCache
from prm_runtime.auto.candidates import ChoiceKey, candidates
from prm_runtime.auto.measure import Measured
from prm_runtime.backends import BACKENDS
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter

NAMES = ["onnxruntime", "openvino"]


class Measurement:
    """Hands out what it is given, and counts how often."""

    def __init__(self, seconds: dict[str, float], unusable: dict[str, str] | None = None) -> None:
        self.found, self.calls = Measured(seconds, unusable or {}), 0

    def __call__(self, bundle: Bundle, names: Sequence[str], threads: int | None) -> Measured:
        self.calls += 1
        return self.found


@pytest.fixture(autouse=True)
def two_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="needs a second engine")
    monkeypatch.setattr(module, "BACKENDS", {name: BACKENDS[name] for name in NAMES})


@pytest.fixture
def cache(tmp_path: Path) -> ChoiceCache:
    return ChoiceCache(tmp_path / "backends")


@pytest.fixture
def bundle(colour_bundle: Path) -> Bundle:
    return Bundle.open(colour_bundle)


def test_the_fastest_is_taken_and_the_reason_said(bundle: Bundle, cache: ChoiceCache) -> None:
    choice = choose_backend(
        bundle, cache=cache, measure=Measurement({"onnxruntime": 0.04, "openvino": 0.0301})
    )
    assert choice.backend == "openvino"
    assert choice.reason == "the fastest: 30 ms for the network of a frame, 40 ms in onnxruntime"


def test_it_is_measured_once(bundle: Bundle, cache: ChoiceCache) -> None:
    measure = Measurement({"onnxruntime": 0.01, "openvino": 0.02}, {"cuda": "no GPU"})
    first = choose_backend(bundle, cache=cache, measure=measure)
    assert choose_backend(bundle, cache=cache, measure=measure) == first
    assert measure.calls == 1


def test_what_differs_is_measured_again(
    bundle: Bundle, cache: ChoiceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Measurement({"onnxruntime": 0.01, "openvino": 0.02})
    choose_backend(bundle, cache=cache, measure=measure)
    choose_backend(bundle, threads=1, cache=cache, measure=measure)
    other = replace(
        bundle,
        manifest=bundle.manifest.model_copy(
            update={"sha256": dict.fromkeys(bundle.manifest.sha256, "0" * 64)}
        ),
    )
    choose_backend(other, cache=cache, measure=measure)
    assert measure.calls == 3
    monkeypatch.setattr("prm_runtime.auto.candidates.installed_version", lambda package: "99.0")
    choose_backend(bundle, cache=cache, measure=measure)
    assert measure.calls == 4
    monkeypatch.setattr("prm_runtime.auto.candidates._cpu_model", lambda: "another processor")
    choose_backend(bundle, cache=cache, measure=measure)
    assert measure.calls == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"onnxruntime": 0.01', '"onnxruntime": -1'),
        lambda text: text.replace('"onnxruntime": 0.01', '"onnxruntime": NaN'),
        lambda text: text.replace('"onnxruntime": 0.01', '"no-such-engine": 0.01'),
        lambda text: text.replace('"cpus"', '"cups"'),
        lambda text: text.replace('"threads": null', '"threads": 7'),
    ],
)
def test_a_damaged_or_stale_entry_is_measured_again(
    damage: object, bundle: Bundle, cache: ChoiceCache
) -> None:
    measure = Measurement({"onnxruntime": 0.01, "openvino": 0.02})
    expected = choose_backend(bundle, cache=cache, measure=measure)
    (path,) = cache.folder.iterdir()
    text = path.read_text()
    damaged = damage(text)  # type: ignore[operator]
    assert damaged != text
    path.write_text(damaged)
    assert choose_backend(bundle, cache=cache, measure=measure) == expected
    assert measure.calls == 2
    assert path.read_text() == text


def test_a_cache_that_cannot_be_written_costs_only_time(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    measure = Measurement({"onnxruntime": 0.01, "openvino": 0.02})
    cache = ChoiceCache(tmp_path / "file" / "backends")
    assert choose_backend(bundle, cache=cache, measure=measure).backend == "onnxruntime"


def test_without_a_choice_nothing_is_measured(
    bundle: Bundle, cache: ChoiceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Measurement({})
    many = choose_backend(bundle, many_sizes=True, cache=cache, measure=measure)
    assert (many.backend, many.reason) == ("onnxruntime", "the only one that does not compile for each size")
    monkeypatch.setitem(
        module.BACKENDS, "openvino", replace(BACKENDS["openvino"], requires=("no_such_module",))
    )
    assert choose_backend(bundle, cache=cache, measure=measure).reason == "the only one installed"
    assert measure.calls == 0
    assert not cache.folder.exists()


def test_an_engine_that_does_not_run_is_not_taken(bundle: Bundle, cache: ChoiceCache) -> None:
    measure = Measurement({"onnxruntime": 0.5}, {"openvino": "broken"})
    assert choose_backend(bundle, cache=cache, measure=measure).reason == "the only one that runs"
    with pytest.raises(PrmError, match=r"no inference engine runs here \(openvino: broken\); see: prm-run"):
        choose_backend(bundle, 3, cache=cache, measure=Measurement({}, {"openvino": "broken"}))


def test_engines_of_another_precision_are_not_candidates() -> None:
    assert candidates() == NAMES
    assert candidates(many_sizes=True) == ["onnxruntime"]


def test_engines_that_were_built_meanwhile_count(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRM_ENGINE_CACHE", str(tmp_path))
    before = ChoiceKey.here(bundle.manifest, NAMES, None)
    graph = bundle.manifest.sha256[bundle.manifest.forward.file]
    (tmp_path / f"{graph[:12]}-tensorrt-0123456789abcdef.engine").touch()
    (tmp_path / "0123456789ab-tensorrt-0123456789abcdef.engine").touch()
    after = ChoiceKey.here(bundle.manifest, NAMES, None)
    assert before != after
    assert len(after.engines) == 1


def test_a_segmenter_opens_with_what_was_measured(
    colour_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    segmenter = Segmenter.open(colour_bundle, "auto", threads=1)
    found = ChoiceCache().load(ChoiceKey.here(Bundle.open(colour_bundle).manifest, NAMES, 1))
    assert found is not None
    assert set(found.seconds) == set(NAMES)
    fastest = min(found.seconds, key=lambda name: found.seconds[name])
    assert segmenter.backend.description.lower().replace(" ", "").startswith(fastest)
    assert isinstance(segmenter(np.zeros((64, 96, 3), np.uint8)).labels, list)


def test_prm_run_measures_for_video_and_not_for_pictures(
    prm_run: Callable[..., Any], colour_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    picture = write_png(tmp_path / "blobs.png", draw_blobs()[0])
    run = ("--model", colour_bundle, "--backend", "auto", "--threads", 1)
    result = prm_run(picture, *run)
    assert result.code == 0, result.err
    assert "ONNX Runtime" in result.err
    assert not (tmp_path / "cache").exists()
    clip = write_lossless_video(tmp_path / "clip.mkv", moving_blobs(3), Fraction(25))
    result = prm_run(clip, *run)
    assert result.code == 0, result.err
    (measured,) = (tmp_path / "cache").iterdir()
    seconds = json.loads(measured.read_text())["seconds"]
    chosen = min(seconds, key=seconds.get)
    assert {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[chosen] in result.err
