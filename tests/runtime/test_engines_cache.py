from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from prm_runtime.backends.base import GraphUse
from prm_runtime.engines.cache import FOLDER_VARIABLE, CachedEngine, EngineCache, EngineKey

KEY = EngineKey.of(b"graph", GraphUse(), "tensorrt-rtx", "1.7.1", "RTX 4070 (sm_89)", "as exported")
ENGINE = CachedEngine(bytes(range(256)) * 8, {"PeakFind": "plugin"})
OTHERS = {
    "graph": replace(KEY, graph="0" * 64),
    "flavor": replace(KEY, flavor="tensorrt"),
    "version": replace(KEY, version="1.7.2"),
    "device": replace(KEY, device="RTX 5090 (sm_120)"),
    "precision": replace(KEY, precision="fp16"),
    "limits": replace(KEY, limits=(64, 64, 64, 64, 64, 64, 8)),
}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path / "engines")
    cache.store(KEY, ENGINE)
    return cache


def test_an_engine_is_found_again(cache: EngineCache) -> None:
    assert cache.load(KEY) == ENGINE
    assert [path.name for path in cache.folder.iterdir()] == [KEY.file_name]


def test_storing_replaces(cache: EngineCache) -> None:
    cache.store(KEY, CachedEngine(b"newer"))
    assert cache.load(KEY) == CachedEngine(b"newer")
    assert len(list(cache.folder.iterdir())) == 1


@pytest.mark.parametrize("part", OTHERS)
def test_an_engine_of_another_key_is_not_taken(cache: EngineCache, part: str) -> None:
    other = OTHERS[part]
    assert cache.load(other) is None
    cache.path(other).write_bytes(cache.path(KEY).read_bytes())  # renamed by hand
    cache.path(other).chmod(0o600)
    assert cache.load(other) is None


@pytest.mark.parametrize("length", [0, 5, 40, 200, 1000, -1])
def test_a_cut_engine_is_not_taken(cache: EngineCache, length: int) -> None:
    path = cache.path(KEY)
    path.write_bytes(path.read_bytes()[:length])
    assert cache.load(KEY) is None


@pytest.mark.parametrize("position", [3, 30, 100, -1, -1000])
def test_an_altered_engine_is_not_taken(cache: EngineCache, position: int) -> None:
    path = cache.path(KEY)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))
    assert cache.load(KEY) is None


@pytest.mark.parametrize("header", [b"[]", b"7", b"{}", b"\xff\xfe", b""])
def test_a_file_with_another_header_is_not_taken(cache: EngineCache, header: bytes) -> None:
    cache.path(KEY).write_bytes(b"prm-edge engine 1\n" + header + b"\n" + ENGINE.content)
    assert cache.load(KEY) is None


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_an_engine_that_others_could_have_written_is_not_taken(cache: EngineCache) -> None:
    assert cache.path(KEY).stat().st_mode & 0o077 == 0
    assert cache.folder.stat().st_mode & 0o077 == 0
    cache.path(KEY).chmod(0o666)
    assert cache.load(KEY) is None


def test_a_failed_write_leaves_the_old_engine(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        cache.store(KEY, CachedEngine(b"newer"))
    assert cache.load(KEY) == ENGINE
    assert [path.name for path in cache.folder.iterdir()] == [KEY.file_name]


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert EngineCache().folder == tmp_path
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert "prm-edge" in EngineCache().folder.parts


def test_timing_caches_are_shared_by_all_graphs_of_a_device(cache: EngineCache) -> None:
    assert cache.timing_cache(KEY) == cache.timing_cache(OTHERS["graph"])
    for part in ("flavor", "version", "device"):
        assert cache.timing_cache(KEY) != cache.timing_cache(OTHERS[part])
