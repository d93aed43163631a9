"""``prm-export`` when something is wrong: one line says what, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command, Finished
from tests.fixtures.networks import write_checkpoint
from torch import Tensor, nn

from prm_export import assemble
from prm_export.pipeline import GraphOptions, Graphs, build_graphs
from prm_train.backbones import BACKBONES
from prm_train.fcn import FullyConvolutional


def assert_refused(result: Finished, output: Path, message: str) -> None:
    """Check that a run ended in one line and wrote nothing."""
    assert result.code == 1
    last = result.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in result.err
    assert not output.exists()


@pytest.mark.usefixtures("ready_classifier")
def test_graphs_beyond_tolerance_are_not_written(
    prm_export: Command, monkeypatch: pytest.MonkeyPatch, checkpoint: Path, tmp_path: Path
) -> None:
    def build_wrong_graphs(classifier: onnx.ModelProto, options: GraphOptions) -> Graphs:
        graphs = build_graphs(classifier, options)
        for node in graphs.backprop.graph.node:
            if node.op_type == "Constant" and len(node.attribute[0].t.dims) == 4:
                W = numpy_helper.to_array(node.attribute[0].t).copy()
                W[::2] *= 2
                node.attribute[0].t.CopyFrom(numpy_helper.from_array(W))
                return graphs
        raise AssertionError("no weight")

    monkeypatch.setattr(assemble, "build_graphs", build_wrong_graphs)
    output = tmp_path / "wrong.prm"
    result = prm_export(checkpoint, "-o", output)
    assert_refused(result, output, "nothing was written")
    assert "PRMs vs oracle: largest error / maximum, PRMs vs oracle: 1 - correlation" in result.err
    assert "FAILED" in result.err
    assert list(tmp_path.iterdir()) == []


class GatedBackbone(tiny_backbone.TinyBackbone):
    """With two activations that no rule covers."""

    def stem(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x)

    def head(self, x: Tensor) -> Tensor:
        return x.sigmoid()


def test_operators_without_a_rule_end_the_export(
    prm_export: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(BACKBONES, "gated", GatedBackbone)
    folder = write_checkpoint(tmp_path / "gated", FullyConvolutional(GatedBackbone(), 3), "gated")
    output = tmp_path / "gated.prm"
    result = prm_export(folder, "-o", output, "--stop-stride", 1)
    assert_refused(result, output, "peak back-propagation has no rule for Sigmoid")
    assert "Softplus" in result.err


def test_a_missing_checkpoint_is_named(prm_export: Command, tmp_path: Path) -> None:
    output = tmp_path / "x.prm"
    assert_refused(prm_export(tmp_path / "none", "-o", output), output, "none is no checkpoint: config.json")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights are cut": (
        lambda f: (f / "model.safetensors").write_bytes(b"\x08"),
        "model.safetensors is damaged",
    ),
    "weights are missing": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "the config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is damaged"),
    "a class too many": (lambda f: rewrite(f, classes=["a"] * 4), "does not fit config.json"),
    "an unknown backbone": (lambda f: rewrite(f, backbone="huge"), "unknown backbone 'huge'"),
    "an unknown aggregation": (lambda f: rewrite(f, aggregation={"name": "vote"}), "aggregates by 'vote'"),
    "no aggregation": (lambda f: rewrite(f, aggregation={}), "aggregates by ''"),
    "an unknown option": (
        lambda f: rewrite(f, aggregation={"name": "max", "r": 2}),
        "'max' does not take the checkpoint's options",
    ),
    "no provenance to speak of": (
        lambda f: rewrite(f, provenance={"recipe": "mine"}),
        "the checkpoint's provenance is damaged at 'recipe': Input should be a valid dictionary",
    ),
    "an option out of range": (
        lambda f: rewrite(f, aggregation={"name": "peak", "window": 3, "filter": "mode"}),
        "unknown peak filter 'mode'",
    ),
}


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.usefixtures("ready_classifier")
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named(
    prm_export: Command, checkpoint: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder, output = tmp_path / "damaged", tmp_path / "x.prm"
    shutil.copytree(checkpoint, folder)
    damage(folder)
    assert_refused(prm_export(folder, "-o", output), output, message)


@pytest.mark.parametrize(("window", "advice"), [(2, "use 1 or 3"), (8, "use 7 or 9")])
def test_an_even_window_is_refused(
    prm_export: Command, checkpoint: Path, tmp_path: Path, window: int, advice: str
) -> None:
    output = tmp_path / "x.prm"
    result = prm_export(checkpoint, "-o", output, "--window", window)
    assert_refused(result, output, f"must be odd, found {window}: {advice}")


PICTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be opened (No such file or directory)"),
    "a folder": (lambda path: path.mkdir(), "cannot be opened (Is a directory)"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "no picture": (lambda path: path.write_text("not a picture"), "cannot be decoded"),
}


@pytest.mark.parametrize(("make", "message"), PICTURES.values(), ids=PICTURES)
def test_a_picture_that_cannot_be_read_is_named(
    prm_export: Command, checkpoint: Path, tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    output, picture = tmp_path / "x.prm", tmp_path / "picture.png"
    make(picture)
    result = prm_export(checkpoint, "-o", output, "--verify-image", picture)
    assert_refused(result, output, f"{picture}: {message}")


def test_an_output_that_is_a_folder_is_refused(prm_export: Command, checkpoint: Path, tmp_path: Path) -> None:
    result = prm_export(checkpoint, "-o", tmp_path)
    assert result.code == 1
    assert f"{tmp_path} is a folder: give the file to write" in result.err.replace("\n", "")


def test_an_output_inside_a_file_is_refused(prm_export: Command, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "new" / "x.prm"
    assert_refused(prm_export(checkpoint, "-o", output), output, "file is no folder that you may write to")
