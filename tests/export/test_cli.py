"""What the ``prm-export`` program does around its command."""

from __future__ import annotations

import pytest
from tests.fixtures.command_line import Command


def test_the_version_is_shown(prm_export: Command) -> None:
    result = prm_export("--version")
    assert result.code == 0
    assert result.out.startswith("prm-edge ")


@pytest.mark.parametrize("arguments", [["--help"], ["export", "--help"]])
def test_help_is_shown(prm_export: Command, arguments: list[str]) -> None:
    result = prm_export(*arguments)
    assert result.code == 0
    assert "bundle" in result.out


def test_wrong_usage_is_told_from_errors(prm_export: Command) -> None:
    result = prm_export("export", "somewhere")
    assert result.code == 2
    assert "--output" in result.err
