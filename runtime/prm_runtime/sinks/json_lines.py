"""JSON lines, one object per frame."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prm_runtime.results import frame_record
from prm_runtime.sinks.base import Result


class JsonLines:
    """Writes one line per frame and flushes it, so that another program can follow along."""

    def __init__(self, path: str) -> None:
        """Open the file, or standard output for ``-``."""
        self._is_stdout = path == "-"
        if self._is_stdout:
            self._file = sys.stdout
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, result: Result) -> None:
        """Write and flush one line."""
        with result.times.stage("write"):
            record = frame_record(result.frame, result.instances)
            self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if not self._is_stdout:
            self._file.close()
