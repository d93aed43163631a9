"""The Markdown file that holds the tables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prm_runtime.console import PrmError

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


@dataclass(frozen=True)
class Document:
    """A file that is figures only, or one that has text of its own around them.

    Attributes:
        path: The file.
        before: Text up to the figures.
        after: Text from their end on.
    """

    path: Path
    before: str = ""
    after: str = ""

    @classmethod
    def open(cls, path: Path) -> Document:
        """Read what is around the lines ``BEGIN`` and ``END``; a file without them is written anew.

        Raises:
            PrmError: If there is one without the other.
        """
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        before, begin, rest = text.partition(f"{BEGIN}\n")
        _, end, after = rest.partition(END)
        if bool(begin) != bool(end) or (not begin and END in text):
            raise PrmError(f"{path} should have both lines, {BEGIN} and {END}, or none of them")
        return cls(path, f"{before}{begin}\n", f"{end}{after}") if begin else cls(path)

    def write(self, figures: str) -> None:
        """Write the figures where they belong."""
        self.path.write_text(f"{self.before}{figures}{self.after}", encoding="utf-8")

    def link(self, path: Path) -> str:
        """How the document points to a file: relative to its own folder, with forward slashes."""
        return Path(os.path.relpath(path, self.path.parent)).as_posix()
