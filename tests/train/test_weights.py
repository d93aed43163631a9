"""Weights out of files: names and shapes that fit, and nothing that runs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.fixtures.tiny_backbone import tiny_model
from torch import Tensor

from prm_runtime.console import PrmError
from prm_train.backbones import create_backbone
from prm_train.fcn import FullyConvolutional
from prm_train.weights import load_weights, read_state_dict

State = dict[str, Tensor]


def public_state(model: FullyConvolutional) -> State:
    """The state dict that the package a backbone comes from would save: with a linear classifier."""
    state = model.backbone.state_dict()
    state[f"{model.backbone.classifier}.weight"] = model.classifier.weight.detach().flatten(1)
    state[f"{model.backbone.classifier}.bias"] = model.classifier.bias.detach()
    return state


def equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def save_pickled(state: State, path: Path) -> None:
    torch.save(state, path)


def save_in_the_old_format(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("suffix", "save"),
    [("pth", save_pickled), ("pth", save_in_the_old_format), ("safetensors", save_file)],
)
def test_a_users_file_fills_backbone_and_classifier(
    suffix: str, save: Callable[[State, Path], None], tmp_path: Path
) -> None:
    theirs, ours = tiny_model(), tiny_model()
    path = tmp_path / f"weights.{suffix}"
    save(public_state(theirs), path)
    assert not equal(theirs.state_dict(), ours.state_dict())
    load_weights(ours, "tiny", str(path))
    assert equal(theirs.state_dict(), ours.state_dict())


def test_a_classifier_of_other_classes_stays_as_it_is(tmp_path: Path) -> None:
    theirs, ours = tiny_model(num_classes=1000), tiny_model(num_classes=3)
    save_pickled(public_state(theirs), tmp_path / "weights.pth")
    before = {key: value.clone() for key, value in ours.classifier.state_dict().items()}
    load_weights(ours, "tiny", str(tmp_path / "weights.pth"))
    assert equal(theirs.backbone.state_dict(), ours.backbone.state_dict())
    assert equal(before, ours.classifier.state_dict())


def test_weights_none_changes_nothing() -> None:
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    load_weights(model, "tiny", "none")
    assert equal(before, model.state_dict())


def test_old_state_dicts_without_batch_counters_load(tmp_path: Path) -> None:
    theirs, ours = tiny_model(), tiny_model()
    state = {key: value for key, value in public_state(theirs).items() if "num_batches" not in key}
    save_pickled(state, tmp_path / "weights.pth")
    load_weights(ours, "tiny", str(tmp_path / "weights.pth"))
    assert equal(theirs.state_dict(), ours.state_dict())


def test_the_fully_connected_layers_of_vgg16_are_left_behind(tmp_path: Path) -> None:
    theirs, ours = (FullyConvolutional(create_backbone("vgg16"), 5) for _ in range(2))
    state = theirs.backbone.state_dict()
    for layer in (0, 3, 6):  # torchvision's have 4096 channels
        state |= {f"classifier.{layer}.weight": torch.zeros(5, 8), f"classifier.{layer}.bias": torch.zeros(5)}
    before = ours.classifier.weight.clone()
    save_file(state, tmp_path / "vgg16.safetensors")
    load_weights(ours, "vgg16", str(tmp_path / "vgg16.safetensors"))
    assert equal(theirs.backbone.state_dict(), ours.backbone.state_dict())
    assert torch.equal(before, ours.classifier.weight)


def test_a_file_that_does_not_fit_is_refused_with_all_reasons(tmp_path: Path) -> None:
    state = public_state(tiny_model())
    for index in range(4):
        del state[f"layers.{index}.1.bias"]
    state["layers.0.0.weight"] = torch.zeros(8, 3, 5, 5)
    state["layer1.conv1.weight"] = torch.zeros(1)
    save_pickled(state, tmp_path / "weights.pth")
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(PrmError) as error:
        load_weights(model, "tiny", str(tmp_path / "weights.pth"))
    message = str(error.value)
    assert "weights.pth does not fit this backbone" in message
    assert "4 missing (layers.0.1.bias, layers.1.1.bias, layers.2.1.bias, …)" in message
    assert "1 unknown (layer1.conv1.weight)" in message
    assert "1 of another shape (layers.0.0.weight is [8, 3, 5, 5] instead of [8, 3, 3, 3])" in message
    assert equal(before, model.state_dict())


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_malicious_pickle_is_refused_and_does_not_run(
    writer: Callable[[object, Path], None], suffix: str, tmp_path: Path
) -> None:
    trace, path = tmp_path / "trace", tmp_path / f"weights.{suffix}"
    writer({"conv1.weight": Malicious(trace)}, path)
    with pytest.raises(PrmError, match="would run code: save the model's state_dict"):
        load_weights(tiny_model(), "tiny", str(path))
    assert not trace.exists()


@pytest.mark.parametrize("value", [[torch.zeros(2)], {"epoch": 3}, {0: torch.zeros(2)}])
def test_anything_but_named_tensors_is_refused(value: object, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "weights.pth")
    with pytest.raises(PrmError, match="should hold named tensors and nothing else"):
        read_state_dict(tmp_path / "weights.pth")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same state dict in all formats."""
    folder = tmp_path_factory.mktemp("weights")
    paths = [folder / "new.pth", folder / "old.pth", folder / "weights.safetensors"]
    state = {"a.weight": torch.randn(3, 3), "b": torch.zeros(2)}
    for path, save in zip(paths, (save_pickled, save_in_the_old_format, save_file), strict=True):
        save(state, path)
    return paths


@settings(max_examples=60, deadline=None)
@given(data=st.data(), which=st.integers(0, 2))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_file_is_one_clear_error_or_still_tensors(
    data: st.DataObject, which: int, saved: list[Path]
) -> None:
    content = saved[which].read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.binary(max_size=4))
    cut = data.draw(st.booleans())
    path = saved[which].with_stem("damaged")
    path.write_bytes(content[:place] + damage + (b"" if cut else content[place + len(damage) :]))
    try:
        state = read_state_dict(path)
    except PrmError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert all(isinstance(value, Tensor) for value in state.values())


def test_missing_files_and_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match=r"none\.pth does not exist: give 'package', 'none' or an"):
        load_weights(tiny_model(), "tiny", str(tmp_path / "none.pth"))
    with pytest.raises(PrmError, match="no installed package holds weights of resnet18: give --weights FILE"):
        load_weights(tiny_model(), "resnet18", "package")
