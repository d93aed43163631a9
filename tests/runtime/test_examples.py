from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import write_png

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_embed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], colour_bundle: Path, tmp_path: Path
) -> None:
    picture = write_png(tmp_path / "blobs.png", draw_blobs()[0])
    monkeypatch.setattr(sys, "argv", ["embed.py", str(picture), str(colour_bundle)])
    runpy.run_path(str(EXAMPLES / "embed.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["green", "red", "red"]
