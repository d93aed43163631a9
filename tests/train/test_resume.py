"""A killed run goes on with --resume and ends, bit for bit, where an unbroken one would have."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric import Fabric
from tests.fixtures.command_line import Command
from tests.train.conftest import TINY_RECIPE, die_after

from prm_train import loop

ROOT = Path(__file__).parents[2]
STEPS = 2  # in an epoch of eight pictures
KILLED = """
import os, signal
from prm_train import backbones, cli, loop
from tests.fixtures.tiny_backbone import NAME, TinyBackbone

def killed_step(trainer, batch, step=loop.Trainer._train_step):
    if trainer.scheduler.last_epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(trainer, batch)

backbones.BACKBONES[NAME] = TinyBackbone
loop.Trainer._train_step = killed_step
cli.main()
"""


def results(out: Path) -> tuple[bytes, str]:
    return (out / "model.safetensors").read_bytes(), (out / "config.json").read_text()


def step_losses(out: Path) -> list[str]:
    """Losses of single steps that the latest log holds, to the last digit."""
    latest = max((out / "csv").glob("version_*"))
    with (latest / "metrics.csv").open() as file:
        return [row["step_loss"] for row in csv.DictReader(file) if row["step_loss"]]


@pytest.fixture
def unbroken(train_tiny: Command, folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "unbroken"
    assert train_tiny(folder, "--out", out, "--val-split", "val").code == 0
    return out


@pytest.mark.parametrize("victim", ["_train_step", "_validate"])
def test_a_run_that_dies_in_its_second_epoch_ends_where_an_unbroken_one_does(
    victim: str,
    train_tiny: Command,
    folder: Path,
    tmp_path: Path,
    unbroken: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "broken"
    calls = STEPS + 1 if victim == "_train_step" else 1
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, victim, die_after(calls, getattr(loop.Trainer, victim)))
        died = train_tiny(folder, "--out", out, "--val-split", "val")
    assert died.code == 1
    assert "killed" in died.err
    assert not (out / "config.json").exists()
    resumed = train_tiny(folder, "--out", out, "--val-split", "val", "--resume")
    assert resumed.code == 0, resumed.err
    assert "epoch 1/2" not in resumed.err
    assert "epoch 2/2" in resumed.err
    assert results(out) == results(unbroken)
    assert step_losses(out) == step_losses(unbroken)[1:]


def test_a_killed_process_can_be_resumed_exactly(
    train_tiny: Command, folder: Path, tmp_path: Path, unbroken: Path
) -> None:
    out = tmp_path / "killed"
    options = [str(option) for option in (folder, *TINY_RECIPE, "--out", out, "--val-split", "val")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, *options], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (out / "state.ckpt").exists()
    assert not (out / "config.json").exists()
    assert train_tiny(folder, "--out", out, "--val-split", "val", "--resume").code == 0
    assert results(out) == results(unbroken)


def test_mixed_precision_is_resumed_exactly_too(
    train_tiny: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--precision", "bf16-mixed", "--frozen-blocks", 2)
    assert train_tiny(folder, "--out", tmp_path / "unbroken", *options).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", die_after(STEPS + 1, loop.Trainer._train_step))
        assert train_tiny(folder, "--out", tmp_path / "broken", *options).code == 1
    assert train_tiny(folder, "--out", tmp_path / "broken", *options, "--resume").code == 0
    assert results(tmp_path / "broken") == results(tmp_path / "unbroken")


def test_a_kill_while_the_state_is_written_leaves_the_one_before(
    train_tiny: Command, folder: Path, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, saved = tmp_path / "broken", []

    def save_or_die(fabric: Fabric, path: Path, state: object, save: Any = Fabric.save) -> None:
        save(fabric, path, state)
        saved.append(path.read_bytes())
        if len(saved) == 2:
            path.write_bytes(saved[1][:1000])
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Fabric, "save", save_or_die)
        assert train_tiny(folder, "--out", out, "--val-split", "val").code == 1
    assert (out / "state.ckpt").read_bytes() == saved[0]
    assert train_tiny(folder, "--out", out, "--val-split", "val", "--resume").code == 0
    assert results(out) == results(unbroken)


def test_a_run_that_died_in_its_first_epoch_starts_anew(
    train_tiny: Command, folder: Path, tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", die_after(1, loop.Trainer._train_step))
        assert train_tiny(folder, "--out", out, "--val-split", "val").code == 1
    assert train_tiny(folder, "--out", out, "--val-split", "val", "--resume").code == 0
    assert results(out) == results(unbroken)


def test_resuming_a_finished_run_writes_the_same_again(
    train_tiny: Command, folder: Path, unbroken: Path
) -> None:
    before = results(unbroken)
    for name in ("config.json", "model.safetensors"):
        (unbroken / name).unlink()
    assert train_tiny(folder, "--out", unbroken, "--val-split", "val", "--resume").code == 0
    assert results(unbroken) == before


def test_an_earlier_run_is_not_overwritten(train_tiny: Command, folder: Path, unbroken: Path) -> None:
    before = results(unbroken)
    refused = train_tiny(folder, "--out", unbroken)
    assert refused.code == 1
    assert "holds an earlier run: give --resume to go on, or another --out" in refused.err
    assert results(unbroken) == before


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--learning-rate", 0.02], "learning_rate"),
        (["--epochs", 3, "--seed", 1], "epochs, seed"),
        (["--backbone", "resnet18"], "backbone"),  # its weights would not even fit
        (["--classes", "red,green,blue"], "classes"),
    ],
)
def test_a_run_is_resumed_with_the_recipe_it_was_started_with(
    options: list[object], names: str, train_tiny: Command, folder: Path, unbroken: Path
) -> None:
    refused = train_tiny(folder, "--out", unbroken, "--resume", *options)
    assert refused.code == 1
    assert f"was started with other {names}: resume with the same, or give another --out" in refused.err
    assert "Traceback" not in refused.err


def test_a_run_is_resumed_with_as_many_pictures_as_it_was_started_with(
    train_tiny: Command, folder: Path, tmp_path: Path, unbroken: Path
) -> None:
    smaller = shutil.copytree(folder, tmp_path / "smaller")
    rows = (folder / "labels.csv").read_text().splitlines()
    (smaller / "labels.csv").write_text("\n".join(rows[:4]))
    refused = train_tiny(smaller, "--out", unbroken, "--resume")
    assert refused.code == 1
    assert "was started with 2 steps an epoch, the data and --devices now make 1" in refused.err


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_damaged_state_is_named(kept: int, train_tiny: Command, folder: Path, unbroken: Path) -> None:
    state = (unbroken / "state.ckpt").read_bytes()
    (unbroken / "state.ckpt").write_bytes(state[:kept])
    refused = train_tiny(folder, "--out", unbroken, "--resume")
    assert refused.code == 1
    assert "state.ckpt is damaged: give another --out, or delete it to start anew" in refused.err
