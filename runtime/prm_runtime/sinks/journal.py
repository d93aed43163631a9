"""Results that become one JSON file only when the last frame is known.

While a run goes on they are lines of a journal beside that file. A run that was killed leaves the journal,
and :func:`finish` makes the file of it as the run would have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from prm_runtime.sinks.base import SinkError
from prm_runtime.sinks.files import AppendFile

SUFFIX = ".journal"

Record = dict[str, Any]
Assembly = Callable[[Record, Callable[[], Iterator[Record]], TextIO], None]
"""Writes the file from the journal's header and its records, which may be gone through several times."""


def journal_path(target: Path) -> Path:
    """The journal of a file."""
    return target.with_name(target.name + SUFFIX)


class Journal:
    """Takes one record per frame.

    Attributes:
        target: The file that is made of it in the end.
    """

    def __init__(self, target: Path, header: Record) -> None:
        """Begin a journal.

        Args:
            target: The file that is made of it in the end.
            header: What all frames share.

        Raises:
            SinkError: If a run was killed that wrote the same file, or one still does.
        """
        self.target = target
        path = journal_path(target)
        if path.exists():
            raise SinkError(
                f"{path} is the journal of a run that was interrupted or still goes on; "
                f"make its results into {target.name} with: prm-run recover {path}"
            )
        self._file = AppendFile(path, replace=False)
        self.append(header)

    def append(self, record: Record) -> None:
        """Add the record of a frame.

        Raises:
            OSError: If it does not fit on the disk; the records before it are whole.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        self._file.write(line.encode())

    def close(self, assemble: Assembly) -> None:
        """Make the file, and drop the journal.

        Raises:
            SinkError: If the file cannot be written; the journal stays.
        """
        self._file.close()
        finish(self.target, assemble)


def finish(target: Path, assemble: Assembly) -> int:
    """Make a file from its journal, and drop the journal. Returns the number of frames.

    Raises:
        SinkError: If the journal is missing or damaged before its last line, or the file cannot be written;
            the journal stays.
    """
    path = journal_path(target)
    header = read_header(path)

    def frames() -> Iterator[Record]:
        lines = _lines(path)
        next(lines)
        return lines

    aside = target.with_name(f".{target.name}.part")
    try:
        with aside.open("w", encoding="utf-8") as file:
            assemble(header, frames, file)
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise SinkError(
            f"{target}: cannot be written ({(error.strerror or str(error)).lower()}); the results are in "
            f"{path}, make room and run: prm-run recover {path}"
        ) from error
    count = sum(1 for _ in frames())
    path.unlink()
    return count


def read_header(path: Path) -> Record:
    """What the first line of a journal says; empty if that line was never finished.

    Raises:
        SinkError: If the file cannot be read or is no journal.
    """
    return next(_lines(path), {})


def _lines(path: Path) -> Iterator[Record]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # the run was killed while it wrote this line
                try:
                    yield json.loads(line)
                except ValueError:
                    raise SinkError(
                        f"{path}: line {number} is damaged; delete the line to keep the frames around it"
                    ) from None
    except OSError as error:
        raise SinkError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from error
