"""``prm-eval`` says in one line what is wrong with a bundle; test_bundle_malformed.py has every way."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import BLOBS
from tests.fixtures.command_line import command
from tests.fixtures.voc_tree import write_voc_tree

from prm_evaluation.cli import main


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-100], "truncated"),
        (lambda content: content + b"more", "4 bytes follow the end of the zip"),
        (lambda content: b"hello", "not a bundle"),
        (lambda content: content.replace(b"backprop.onnx", b"../evil/x.bin"), "unsafe member name"),
    ],
)
@pytest.mark.parametrize(
    "arguments", [["evaluate"], ["tables"], ["tune", "--out", "tuned.prm"], ["failures", "--out", "failures"]]
)
def test_it_is_refused_in_one_line(
    damage, message, arguments, colour_bundle: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    tree = write_voc_tree(tmp_path / "voc", {"a": BLOBS})
    path = tmp_path / "evil.prm"
    path.write_bytes(damage(colour_bundle.read_bytes()))
    monkeypatch.chdir(tmp_path)
    result = command("prm-eval", main, monkeypatch, capsys)(*arguments, path, "--data", tree)
    assert result.code == 1, result.err
    assert result.err.count("\n") == 1
    assert f"error: {path}: " in result.err
    assert message in result.err
