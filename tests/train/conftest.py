from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command, Finished, command
from tests.fixtures.labelled_folder import write_labelled_folder

from prm_train.backbones import BACKBONES
from prm_train.cli import main

TINY_RECIPE = (
    "--backbone", tiny_backbone.NAME, "--weights", "none", "--input-size", 64, "--batch-size", 4,
    "--epochs", 2, "--accelerator", "cpu", "--workers", 0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded_and_single_threaded() -> Iterator[None]:
    # on networks this small threads only wait for each other, for seconds where others use the cores
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def prm_train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the entry point of ``prm-train`` in this process."""
    return command("prm-train", main, monkeypatch, capsys)


@pytest.fixture
def train_tiny(prm_train: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``prm-train`` with two epochs of a tiny backbone on the CPU; further options win."""
    monkeypatch.setitem(BACKBONES, tiny_backbone.NAME, tiny_backbone.TinyBackbone)

    def call(data: Path, *options: object) -> Finished:
        return prm_train(data, *TINY_RECIPE, *options)

    return call


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight labelled pictures; not to be written to."""
    return write_labelled_folder(tmp_path_factory.mktemp("data") / "discs")


def die_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that works a number of times and then raises."""
    left = iter(range(calls))

    def mortal(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise RuntimeError("killed")
        return function(*arguments, **options)

    return mortal
