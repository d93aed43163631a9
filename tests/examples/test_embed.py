from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import write_png

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed.py"


def test_embed(colour_bundle: Path, tmp_path: Path) -> None:
    """As a process of its own, which is how people start it."""
    picture = write_png(tmp_path / "blobs.png", draw_blobs()[0])
    command = [sys.executable, str(EXAMPLE), str(picture), str(colour_bundle)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert sorted(line.split()[0] for line in output.splitlines()) == ["green", "red", "red"]


def test_it_is_20_lines_of_code() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
