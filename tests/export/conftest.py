from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command, command
from tests.fixtures.networks import Network, random_network, write_checkpoint

from prm_export.cli import main
from prm_export.commands import source
from prm_train.backbones import BACKBONES, create_backbone
from prm_train.fcn import FullyConvolutional


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: maps of a few cells only make several wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny() -> Network:
    """A network that exports in a second."""
    torch.manual_seed(0)
    return random_network(tiny_backbone.tiny_model(), taps=8)


@pytest.fixture(scope="session")
def networks() -> Callable[[str], Network]:
    """Networks by their backbone's name; each is exported once."""

    @cache
    def network(name: str) -> Network:
        torch.manual_seed(0)
        taps = 16 if name == "efficientnet_lite0" else 0
        return random_network(FullyConvolutional(create_backbone(name), 3), taps)

    return network


@pytest.fixture(scope="session")
def checkpoint(tiny: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of :func:`tiny`; not to be written to."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tiny.model, tiny_backbone.NAME)


@pytest.fixture
def prm_export(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the entry point of ``prm-export`` in this process; it knows the tiny backbone."""
    monkeypatch.setitem(BACKBONES, tiny_backbone.NAME, tiny_backbone.TinyBackbone)
    return command("prm-export", main, monkeypatch, capsys)


@pytest.fixture
def ready_classifier(monkeypatch: pytest.MonkeyPatch, tiny: Network) -> None:
    """Save the second that torch takes to export the tiny network."""
    monkeypatch.setattr(source, "export_classifier", lambda *_, **__: tiny.classifier)
