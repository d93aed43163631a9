"""What a benchmark found, as JSON, on the screen and as Markdown; ``benchmarks.render`` gathers the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from rich.console import Console
from rich.table import Table as RichTable

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column names the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As Markdown, without its title."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(frozen=True)
class Target:
    """A figure that is to be reached.

    Attributes:
        figure: What is measured.
        reach: The target, for people.
        found: What was measured, for people.
        met: Whether that reaches it; None where it was not measured.
    """

    figure: str
    reach: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Report:
    """Everything that a benchmark says.

    Attributes:
        name: ``frame`` for ``python -m benchmarks.frame``.
        command: The command line that made it.
        protocol: What was done, in a sentence or two.
        tables: For people.
        targets: Figures that are to be reached.
        notes: What a reader has to know, one sentence each: losses, limits, what was left out and why.
        data: The figures behind the tables, for plots and programs.
        machine: Where it ran; see :func:`benchmarks.machine.machine`.
    """

    name: str
    command: str
    protocol: str
    tables: Sequence[Table]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=machine)

    def finish(self, path: Path | None) -> None:
        """Print it, and write it as JSON if there is a path."""
        console = Console()
        for table in self.tables:
            shown = RichTable(*table.header, title=table.title, title_justify="left")
            for row in table.rows:
                shown.add_row(*row)
            console.print(shown)
        for target in self.targets:
            console.print(f"{target.figure}: {target.found}, to reach: {target.reach} {verdict(target)}")
        for note in self.notes:
            console.print(note, style="dim")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what :meth:`finish` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        found["tables"] = [Table(**table) for table in found["tables"]]
        found["targets"] = [Target(**target) for target in found["targets"]]
        return cls(**found)


def verdict(target: Target) -> str:
    """Whether a target is met, in a word."""
    return "not measured" if target.met is None else "yes" if target.met else "no"


def command_line(name: str, arguments: Sequence[str]) -> str:
    """How people repeat a run."""
    return " ".join(["python", "-m", f"benchmarks.{name}", *arguments])
