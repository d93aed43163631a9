"""JSON lines, one object per frame."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from prm_runtime.results import frame_record
from prm_runtime.sinks.base import Result


class JsonLines:
    """Writes one line per frame at once, so that another program can follow along.

    Each line is one unbuffered write, and one that the disk has no room for is taken back: the file holds
    whole lines, whatever happens to the process.
    """

    def __init__(self, path: str) -> None:
        """Open the file, or standard output for ``-``."""
        self._is_stdout = path == "-"
        if self._is_stdout:
            self._file: BinaryIO = sys.stdout.buffer
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115 (closed by close)

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            OSError: If there is no room for it.
        """
        with result.times.stage("write"):
            record = frame_record(result.frame, result.instances)
            line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
            if self._is_stdout:
                self._file.write(line.encode())
                self._file.flush()
            else:
                self._append(line.encode())

    def _append(self, line: bytes) -> None:
        start = self._file.tell() if self._file.seekable() else 0
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):  # a pipe or a device cannot be cut
                self._file.truncate(start)
            raise

    def close(self) -> None:
        """Close the file."""
        if not self._is_stdout:
            self._file.close()
