"""Files that are whole whenever somebody looks: after a crash, a kill or a full disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

from prm_runtime.sinks.base import SinkError


def replace_file(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that there is the old file or the new one and never a part.

    Raises:
        OSError: If it cannot be written; what was there before is untouched.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> Path:
    """Make a folder and its parents.

    Raises:
        SinkError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{path}: cannot make this folder ({_reason(error)})") from error
    return path


class AppendFile:
    """A file that grows by whole records: one that does not fit is taken back.

    Nothing is buffered in this process, so that a kill loses nothing that was written. The record that is
    being written right then may be cut: Linux ends a write between two memory pages for a kill. It has what
    a writer of MCAP wants of a stream.
    """

    def __init__(self, path: Path, *, replace: bool = True) -> None:
        """Create the file, in a folder that is made if needed.

        Args:
            path: The file.
            replace: Whether a file that is there is emptied; otherwise it is an error.

        Raises:
            SinkError: If it cannot be created.
        """
        self.path = path
        make_folder(path.parent)
        try:
            self._file = path.open("wb" if replace else "xb", buffering=0)
        except OSError as error:
            raise SinkError(f"{path}: cannot be created ({_reason(error)})") from error
        self._end = 0

    def write(self, record: bytes) -> int:
        """Append a record.

        Raises:
            OSError: If it does not fit; the records before it are whole.
        """
        try:
            rest = memoryview(record)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # a pipe or a device cannot be cut
                self._file.truncate(self._end)
                self._file.seek(self._end)
            raise
        self._end += len(record)
        return len(record)

    def tell(self) -> int:
        """Bytes so far."""
        return self._end

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
