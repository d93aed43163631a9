"""What OpenVINO compiled before, per user: importing it again takes less time and memory than compiling.

OpenVINO maps these files into memory, so each holds nothing else. Its name says what it depends on and what
it has to contain: a file that is cut, altered or of another owner counts as absent.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from prm_runtime.engines.cache import EngineKey, is_own, user_folder
from prm_runtime.engines.files import write_atomically

MAX_FILES = 8  # both graphs for four sizes of frames; the shipped model takes 40 MB for each size
SUFFIX = ".compiled"


class CompiledCache:
    """A folder of compiled graphs, of one user; those that were used last are kept.

    Attributes:
        folder: The folder; created when something is stored.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder; None means ``$PRM_ENGINE_CACHE`` or the user's cache folder of this platform."""
        self.folder = folder or user_folder()

    def has_graph(self, key: EngineKey) -> bool:
        """Whether a graph was compiled before, for whatever shapes."""
        return any(self.folder.glob(f"{_stem(key)}-*{SUFFIX}"))

    def find(self, key: EngineKey, shapes: str) -> Path | None:
        """The file of a graph for the shapes of its inputs, if it is there, whole, and the user's own.

        Args:
            key: The graph and all else that compiling depends on.
            shapes: The shapes, in whatever words.
        """
        for path in self._files(key, shapes):
            with suppress(OSError):  # another process may have removed it
                if is_own(path) and path.stem.endswith(f"-{_digest_of_file(path)}"):
                    path.touch()
                    return path
        return None

    def store(self, key: EngineKey, shapes: str, content: bytes) -> None:
        """Keep a compiled graph, and of all graphs the :data:`MAX_FILES` that were used last.

        Raises:
            OSError: If the folder cannot be written.
        """
        name = f"{_stem(key)}-{_digest(shapes.encode())}-{_digest(content)}{SUFFIX}"
        write_atomically(self.folder / name, content)
        replaced = [path for path in self._files(key, shapes) if path.name != name]
        by_age = sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        for path in {*replaced, *by_age[:-MAX_FILES]}:
            path.unlink(missing_ok=True)

    def _files(self, key: EngineKey, shapes: str) -> list[Path]:
        return list(self.folder.glob(f"{_stem(key)}-{_digest(shapes.encode())}-*{SUFFIX}"))


def _stem(key: EngineKey) -> str:
    return Path(key.file_name).stem


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
