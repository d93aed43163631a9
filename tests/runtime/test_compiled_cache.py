"""What OpenVINO compiled is found again, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from prm_proposals.retrieval import Evidence
from prm_runtime.bundle import Bundle
from prm_runtime.engines.cache import EngineKey
from prm_runtime.engines.compiled import MAX_FILES, CompiledCache
from prm_runtime.segmenter import Segmenter

KEY = EngineKey("ab" * 32, "openvino", "2026.4", "a CPU", "f32", ())
OPEN_AND_RUN = """
import sys
import skimage.data
from prm_runtime.segmenter import Segmenter

Segmenter.open(sys.argv[1], "openvino")(skimage.data.astronaut())
print("onnx" in sys.modules)
"""


IMPORT = """
import sys
import prm_runtime.backends.openvino
print("openvino" in sys.modules, "openvino_telemetry" in sys.modules, "openvino.tools.ovc" in sys.modules)
from openvino.tools.ovc import convert_model
print(callable(convert_model))
"""


def test_openvino_is_imported_without_what_reports_to_its_maker() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CI": "1"},  # so that the converter itself sends nothing
    )
    assert done.stdout.split() == ["True", "False", "False", "True"], done.stderr


def evidence(bundle: Path) -> Evidence:
    pytest.importorskip("openvino")
    with Segmenter.open(bundle, "openvino") as segmenter:
        found = segmenter.evidence(skimage.data.astronaut())
    assert len(found.peaks) > 0  # otherwise the reverse graph does not run
    return found


def assert_equal(found: Evidence, expected: Evidence) -> None:
    np.testing.assert_array_equal(found.class_maps, expected.class_maps)
    np.testing.assert_array_equal(found.prms, expected.prms)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompiledCache:
    monkeypatch.setenv("PRM_ENGINE_CACHE", str(tmp_path / "engines"))
    return CompiledCache()


def files(cache: CompiledCache) -> list[Path]:
    return sorted(cache.folder.iterdir())


def test_a_second_process_imports_what_the_first_compiled(colour_bundle: Path, cache: CompiledCache) -> None:
    pytest.importorskip("openvino")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OPEN_AND_RUN, str(colour_bundle)]
    outputs = [subprocess.check_output(command, env=environment, text=True).strip() for _ in range(2)]
    assert outputs == ["True", "False"]  # reading the graphs takes the onnx package
    assert len(files(cache)) == 2


def test_imported_graphs_compute_the_same(colour_bundle: Path, cache: CompiledCache) -> None:
    compiled = evidence(colour_bundle)
    before = files(cache)
    assert_equal(evidence(colour_bundle), compiled)
    assert files(cache) == before


def test_a_new_size_reads_the_graph_again_rather_than_keeping_it(
    colour_bundle: Path, cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence(colour_bundle)
    read: list[str] = []
    once_more = Bundle.read
    monkeypatch.setattr(Bundle, "read", lambda self, file: read.append(file) or once_more(self, file))
    with Segmenter.open(colour_bundle, "openvino") as segmenter:
        segmenter.evidence(skimage.data.astronaut())
        assert read == ["forward.onnx", "backprop.onnx"]
        segmenter.responses(skimage.data.astronaut()[:256])
        assert read == ["forward.onnx", "backprop.onnx", "forward.onnx"]
    assert len(files(cache)) == 3


@pytest.mark.parametrize("damage", ["cut", "altered", "writable by others"])
def test_a_damaged_file_is_compiled_again(damage: str, colour_bundle: Path, cache: CompiledCache) -> None:
    expected = evidence(colour_bundle)
    for path in files(cache):
        content = path.read_bytes()
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "altered":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        else:
            path.chmod(0o666)
    assert_equal(evidence(colour_bundle), expected)
    assert len(files(cache)) == 2
    for path in files(cache):
        assert path.stem.endswith(hashlib.sha256(path.read_bytes()).hexdigest())
        assert path.stat().st_mode & 0o077 == 0


def test_a_whole_file_that_openvino_refuses_is_compiled_again(
    colour_bundle: Path, cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = evidence(colour_bundle)
    refused = cache.folder / "refused"
    refused.write_bytes(b"of another make")
    monkeypatch.setattr(CompiledCache, "find", lambda *_: refused)
    assert_equal(evidence(colour_bundle), expected)


def test_without_a_folder_to_write_to_graphs_are_compiled_each_time(
    colour_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRM_ENGINE_CACHE", str(tmp_path / "file" / "engines"))
    assert_equal(evidence(colour_bundle), evidence(colour_bundle))


def test_files_are_found_by_key_and_shapes_alone(cache: CompiledCache) -> None:
    assert not cache.has_graph(KEY)
    cache.store(KEY, "[1, 3, 32, 32]", b"one")
    assert cache.has_graph(KEY)
    path = cache.find(KEY, "[1, 3, 32, 32]")
    assert path is not None
    assert path.read_bytes() == b"one"
    assert cache.find(KEY, "[1, 3, 32, 64]") is None
    other = EngineKey(KEY.graph, "openvino", "2026.5", "a CPU", "f32", ())
    assert not cache.has_graph(other)
    assert cache.find(other, "[1, 3, 32, 32]") is None


def test_the_files_that_were_used_last_are_kept(cache: CompiledCache) -> None:
    for size in range(MAX_FILES):
        cache.store(KEY, f"{size}", b"%d" % size)
        path = cache.find(KEY, f"{size}")
        assert path is not None
        os.utime(path, (size, size))
    assert cache.find(KEY, "0") is not None  # used: now the newest
    cache.store(KEY, "new", b"new")
    kept = {size for size in range(MAX_FILES) if cache.find(KEY, f"{size}") is not None}
    assert kept == set(range(MAX_FILES)) - {1}
    assert cache.find(KEY, "new") is not None
