"""The ``prm-train`` command line: mistakes end in one clear line before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.fixtures.command_line import Command
from tests.fixtures.labelled_folder import write_labelled_folder


def one_error_line(err: str) -> str:
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, err
    return lines[0]


def test_version(prm_train: Command) -> None:
    result = prm_train("--version")
    assert (result.code, result.out) == (0, f"prm-edge {version('prm-edge')}\n")


def test_help_names_every_field_of_a_recipe_that_is_an_option(prm_train: Command) -> None:
    assert "curves" in prm_train("--help").out
    result = prm_train("train", "--help")
    assert result.code == 0
    for text in ("--out", "--config", "--resume", "--val-split", "--backbone", "--weights", "--precision"):
        assert text in result.out


def test_help_names_the_commands(prm_train: Command) -> None:
    result = prm_train("--help")
    assert result.code == 0
    for text in ("train", "activation", "--version", "prm-train train --help"):
        assert text in " ".join(result.out.split())


def test_help_does_not_wait_for_torch() -> None:
    program = (
        "import sys; sys.argv = ['prm-train', '--help']\n"
        "from prm_train.cli import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [["curves"], ["data"], ["data", "--out", "run", "--epoch", "3"]])
def test_misused_options_show_the_usage(arguments: list[str], prm_train: Command) -> None:
    result = prm_train(*arguments)
    assert result.code == 2
    assert "Usage: " in result.err
    assert "--help" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "none.toml"], "cannot read the recipe none.toml: "),
        (["--epochs", 0], "the recipe does not work out: epochs: Input should be greater than 0, found 0"),
        (["--input-size", 65], "input_size: Input should be a multiple of 32, found 65"),
        (["--aggregation", "sum"], "aggregation: Input should be 'peak', 'average', 'max', "),
        (["--precision", "8"], "precision: Input should be '32-true'"),
        (["--backbone", "resnet19"], "unknown backbone 'resnet19': choose one of efficientnet_lite0"),
        (["--weights", "none.pth"], "weights file none.pth does not exist: give 'package', 'none' or"),
        (["--accelerator", "abacus"], "--accelerator, --devices or --precision cannot be had here: "),
        (["--accelerator", "tpu"], "--accelerator, --devices or --precision cannot be had here: "),
        (["--split", "test"], "has no test.csv: list its pictures there, one 'file,label;label' a line"),
        (["--val-split", "test"], "has no test.csv"),
        (["--classes", "red,green"], "1 unknown classes: blue"),
        (["--classes", "red,green,blue,pink,grey"], "2 classes without a picture: grey, pink"),
    ],
)
def test_mistakes_end_in_one_clear_line(
    options: list[object],
    message: str,
    prm_train: Command,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = prm_train(folder, "--out", "run", "--batch-size", 4, "--workers", 0, *options)
    assert result.code == 1
    assert message in one_error_line(result.err)
    assert not any(path.is_file() for path in (tmp_path / "run").rglob("*"))


def test_a_missing_data_folder_is_named(prm_train: Command, tmp_path: Path) -> None:
    result = prm_train(tmp_path / "nowhere", "--out", tmp_path / "run")
    assert result.code == 1
    assert "nowhere does not exist" in one_error_line(result.err)


def test_everything_wrong_with_the_data_is_said_at_once_and_nothing_is_written(
    prm_train: Command, tmp_path: Path
) -> None:
    data = write_labelled_folder(tmp_path / "data", pictures=3)
    (data / "0.png").unlink()
    (data / "1.png").write_bytes(b"no picture")
    (data / "labels.csv").write_text("0.png,red\n1.png,green\n2.png,cat;blue\n")
    result = prm_train(data, "--out", tmp_path / "run", "--classes", "red,green,blue,dog")
    assert result.code == 1
    line = one_error_line(result.err)
    assert f"1 missing pictures: {data / '0.png'}" in line
    assert f"1 unreadable files: {data / '1.png'}" in line
    assert "1 unknown classes: cat" in line
    assert "1 classes without a picture: dog" in line
    assert not (tmp_path / "run").exists()
