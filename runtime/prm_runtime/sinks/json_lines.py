"""JSON lines, one object per frame."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prm_runtime.results import frame_record
from prm_runtime.sinks.base import Result
from prm_runtime.sinks.files import AppendFile


class JsonLines:
    """Writes one line per frame at once, so that another program can follow along.

    Each line is one unbuffered write, and one that the disk has no room for is taken back: the file holds
    whole lines, but for the last one after a kill (:class:`~prm_runtime.sinks.files.AppendFile`).
    """

    def __init__(self, path: str) -> None:
        """Open the file, or standard output for ``-``.

        Raises:
            SinkError: If it cannot be created.
        """
        self._name = path
        self._file = None if path == "-" else AppendFile(Path(path))

    def __str__(self) -> str:
        """What people call it."""
        return "standard output" if self._file is None else self._name

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            OSError: If there is no room for it.
        """
        with result.times.stage("write"):
            record = frame_record(result.frame, result.instances)
            line = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
            if self._file is None:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            else:
                self._file.write(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
