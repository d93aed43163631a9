from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from prm_runtime.cli import main


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def prm_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run the entry point of ``prm-run`` in this process, as if without a display."""
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "PRM_DEBUG"):
        monkeypatch.delenv(variable, raising=False)

    def call(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["prm-run", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        code = exit_.value.code
        return Finished(code if isinstance(code, int) else 0, *capsys.readouterr())

    return call
