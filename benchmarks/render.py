"""The figures of docs/performance.md, from what the benchmarks wrote: ``python -m benchmarks.render``.

Reads ``benchmarks/results/*.json`` and writes tables and plots between the markers of the document; what
stands around them is written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from benchmarks.report import RESULTS, Report, Target, verdict

from benchmarks import plots
from prm_evaluation.tables.document import Document

ROOT = Path(__file__).parents[1]
ORDER = (
    "frame",
    "frame-4x3",
    "scaling-peaks",
    "scaling-proposals",
    "scaling-size",
    "scaling-batch",
    "scaling-threads",
    "scaling-streams",
    "pipeline",
    "startup",
    "memory",
    "precision",
    "engines",
)
GOALS = {
    "frame": ("`Segmenter(frame)` against what a user would pick instead", "≤ 1.0 ×, ≥ 30 ×"),
    "scaling-peaks": ("32 peaks against 8", "≤ 1.3 ×"),
    "scaling-proposals": ("2,000 proposals against 500", "≤ 1.2 ×"),
    "pipeline": ("`prm-run` on a file against its slowest stage alone", "≥ 85 % of that stage's rate"),
    "startup": ("start-up to first mask", "≤ 1.5 s"),
    "memory": ("resident memory", "≤ 400 MB"),
}
"""What each benchmark has to reach, for those that have not been run."""


def main(
    document: Annotated[Path, typer.Option(help="The Markdown file.")] = ROOT / "docs" / "performance.md",
    results: Annotated[Path, typer.Option(help="Folder of JSON files.")] = RESULTS,
) -> None:
    """Write tables and plots."""
    reports = read_reports(results)
    opened = Document.open(document)
    pictures = plots.draw(reports, document.parent / "images")
    parts = [goals(reports)]
    for name, report in reports.items():
        picture = pictures.get(name)
        parts.append(section(report, opened.link(picture) if picture else None))
    opened.write("\n".join(parts))


def read_reports(folder: Path) -> dict[str, Report]:
    """All reports by name, in the document's order."""
    found = {report.name: report for report in map(Report.read, sorted(folder.glob("*.json")))}
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in (*known, *(name for name in found if name not in ORDER))}


def goals(reports: dict[str, Report]) -> str:
    """The table of everything that is to be reached."""
    lines = ["## What was to be reached\n", "| figure | reach | measured | reached |", "|---|---|---|---|"]
    for name, (figure, reach) in GOALS.items():
        if name not in reports:
            lines.append(line(Target(figure, reach, "-", None)))
    lines[3:3] = [line(target) for report in reports.values() for target in report.targets]
    return "\n".join(lines) + "\n"


def line(target: Target) -> str:
    """A row of that table."""
    return f"| {target.figure} | {target.reach} | {target.found} | {verdict(target)} |"


def section(report: Report, picture: str | None) -> str:
    """What one benchmark found."""
    lines = [f"## {report.name}\n", f"`{report.command}`. {report.protocol}\n"]
    for table in report.tables:
        lines += [f"**{table.title}**\n", table.markdown(), ""]
    if picture:
        lines.append(f"![{report.name}]({picture})\n")
    lines += [f"- {note}" for note in [*report.notes, where(report.machine)]]
    return "\n".join(lines) + "\n"


def where(machine: Mapping[str, Any]) -> str:
    """The machine in one sentence."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"Machine: {machine['cpus']} CPUs of {machine['cpu']}, {machine['system']}, Python "
        f"{machine['python']}; {versions}; commit {machine['commit']}."
    )


if __name__ == "__main__":
    typer.run(main)
