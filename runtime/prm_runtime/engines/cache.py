"""Engines that were built before, per user.

An engine is executable code for one GPU and one TensorRT. It is found again only by all that it depends on,
and is taken only whole: a file that is cut, altered, of another key or of another owner counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from prm_runtime.backends.base import GraphUse
from prm_runtime.engines.files import write_atomically

MAGIC = b"prm-edge engine 1\n"
FOLDER_VARIABLE = "PRM_ENGINE_CACHE"


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    Attributes:
        graph: SHA-256 of the ONNX graph in the bundle.
        flavor: ``tensorrt`` or ``tensorrt-rtx``.
        version: Its version.
        device: The GPU, or ``portable`` where there is none.
        precision: ``as exported``, or ``fp16`` where the graph was converted before building.
        limits: Smallest, usual and largest height and width of images, and the most peaks.
    """

    graph: str
    flavor: str
    version: str
    device: str
    precision: str
    limits: tuple[int, ...]

    @classmethod
    def of(
        cls, model: bytes, use: GraphUse, flavor: str, version: str, device: str, precision: str
    ) -> EngineKey:
        """The key of a graph's engine."""
        limits = (*use.smallest, *use.usual, *use.largest, use.max_peaks)
        return cls(hashlib.sha256(model).hexdigest(), flavor, version, device, precision, limits)

    @property
    def file_name(self) -> str:
        """Name of its file: the graph, then a digest of the whole key."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.graph[:12]}-{self.flavor}-{digest[:16]}.engine"


@dataclass(frozen=True)
class CachedEngine:
    """An engine with what is known of it.

    Attributes:
        content: The serialised engine.
        notes: How it was built, such as ``{"peak_find": "plugin"}``.
    """

    content: bytes
    notes: dict[str, str] = field(default_factory=dict)


class EngineCache:
    """A folder of engines, of one user.

    Attributes:
        folder: The folder; created when something is stored.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder; None means ``$PRM_ENGINE_CACHE`` or the user's cache folder of this platform."""
        self.folder = folder or user_folder()

    def path(self, key: EngineKey) -> Path:
        """Where the engine of this key is or will be."""
        return self.folder / key.file_name

    def timing_cache(self, key: EngineKey) -> Path:
        """The timing cache that all engines of this TensorRT and GPU share."""
        owner = hashlib.sha256(f"{key.flavor} {key.version} {key.device}".encode()).hexdigest()
        return self.folder / f"timing-{key.flavor}-{owner[:16]}.cache"

    def load(self, key: EngineKey) -> CachedEngine | None:
        """The engine of this key if it is there, whole, and the user's own; None otherwise."""
        path = self.path(key)
        try:
            if not is_own(path):
                return None
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        header, engine = _split(content)
        expected = {"key": _plain(key), "sha256": hashlib.sha256(engine).hexdigest()}
        if any(header.get(name) != value for name, value in expected.items()) or "notes" not in header:
            return None
        return CachedEngine(engine, header["notes"])

    def store(self, key: EngineKey, engine: CachedEngine) -> Path:
        """Keep an engine, replacing whatever stood under its key; returns its file."""
        header = {
            "key": _plain(key),
            "sha256": hashlib.sha256(engine.content).hexdigest(),
            "notes": engine.notes,
        }
        path = self.path(key)
        write_atomically(path, MAGIC + json.dumps(header).encode() + b"\n" + engine.content)
        return path


def _plain(key: EngineKey) -> dict[str, Any]:
    return {**asdict(key), "limits": list(key.limits)}


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and engine of a file; an empty header if it has none."""
    if not content.startswith(MAGIC):
        return {}, b""
    line, _, engine = content[len(MAGIC) :].partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError:
        return {}, b""
    return (header if isinstance(header, dict) else {}), engine


def is_own(path: Path) -> bool:
    """Whether nobody but this user can have written a file: loading an engine runs it."""
    if os.name != "posix":
        return True  # Windows keeps the cache folder inside the user's profile
    status = path.stat()
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.getuid() and not writable_by_others


def user_folder() -> Path:
    """``$PRM_ENGINE_CACHE``, or the user's cache folder of this platform."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("prm-edge") / "engines"
