"""``prm-export`` with share splitting, sizes, batches, precisions, the fused graph and ``--verify-on``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fixtures import tiny_backbone
from tests.fixtures.colour_blobs import BLOBS, CLASSES, draw_blobs
from tests.fixtures.command_line import Command
from tests.fixtures.media import moving_blobs, write_png
from tests.fixtures.networks import Network, write_checkpoint
from tests.fixtures.voc_tree import write_voc_tree

from prm_export.calibration import FEWEST, pictures_of
from prm_export.errors import ExportError
from prm_proposals.settings import ProposalSettings, RetrievalSettings, TreeSettings
from prm_runtime.bundle import Bundle, write_bundle
from prm_runtime.segmenter import Segmenter

ALL_PEAKS = RetrievalSettings(presence=-1e6, peak_floor=-1e6, peak_ratio=-1e6, score_offset=-1e6)
pytestmark = pytest.mark.usefixtures("ready_classifier")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for n, frame in enumerate(moving_blobs(FEWEST + 1)):
        write_png(folder / f"{n}.png", frame)
    return folder


def test_everything_at_once(prm_export: Command, checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "all.prm"
    options = "--prm shared --split-stride 8 --stop-stride 4 --fixed --size 96x128 --batch 2 --precision fp16"
    result = prm_export(checkpoint, "-o", output, *options.split())
    assert result.code == 0, result.err
    manifest = Bundle.open(output).manifest
    assert (manifest.peaks.prm, manifest.peaks.split_stride, manifest.peaks.stop_stride) == ("shared", 8, 4)
    assert (manifest.precision, manifest.batch) == ("fp16", 2)
    assert manifest.forward.inputs[0].shape == (2, 3, 96, 128)
    segmenter = Segmenter.open(output, threads=1, retrieval=ALL_PEAKS)
    assert all(len(found) > 0 for found in segmenter.many(moving_blobs(3)))
    contents = json.loads(prm_export("inspect", output, "--json").out)
    assert contents["graphs"][0]["inputs"][0]["size"] == [2, 3, 96, 128]
    assert contents["graphs"][1]["macs"] > 0  # what the peaks share


def test_int8_is_measured_on_pictures_with_masks(
    prm_export: Command, tiny: Network, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    folder = write_checkpoint(tmp_path / "blobs", tiny.model, tiny_backbone.NAME, CLASSES)
    tree = write_voc_tree(tmp_path / "voc", {"a": BLOBS, "b": BLOBS[:1]})
    output = tmp_path / "small.prm"
    options = ["--precision", "int8", "--calibrate", pictures, "--verify-on", tree, "--fused"]
    result = prm_export(folder, "-o", output, *options, "--max-peaks", 4)
    assert result.code == 0, result.err
    assert "walk mAP50" in result.err
    assert "same masks" in result.err
    manifest = Bundle.open(output).manifest
    assert manifest.precision == "int8"
    assert manifest.fused is not None
    assert set(manifest.provenance.metrics) >= {"walk mAP50", "eq6 mIoU"}
    forward, backprop, fused = json.loads(prm_export("inspect", output, "--json").out)["graphs"]
    assert fused["file"] == "fused.onnx"
    assert fused["outputs"][-1]["size"] == [4, 64, 64]
    # every row of the peak table is back-propagated
    assert fused["macs"] == forward["macs"] + backprop["macs"] + 4 * backprop["macs_per_peak"]
    assert set(forward["weights"]) >= {"int8", "int32"}
    assert "2 pictures" in (manifest.provenance.metrics_protocol or "")


def test_settings_come_from_another_bundle(
    prm_export: Command, tiny: Network, checkpoint: Path, colour_bundle: Path, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "blobs", tiny.model, tiny_backbone.NAME, CLASSES)
    output = tmp_path / "tuned.prm"
    assert prm_export(folder, "-o", output, "--settings-from", colour_bundle).code == 0
    assert Bundle.open(output).manifest.proposals == Bundle.open(colour_bundle).manifest.proposals
    assert prm_export(folder, "-o", tmp_path / "own.prm").code == 0
    bundle = Bundle.open(tmp_path / "own.prm")
    trees = (TreeSettings(boundary=0.2, features=("elsewhere",)),)
    elsewhere = bundle.manifest.model_copy(update={"proposals": ProposalSettings(trees=trees)})
    members = {name: bundle.read(name) for name in ("forward.onnx", "backprop.onnx")}
    write_bundle(tmp_path / "elsewhere.prm", elsewhere, members)
    assert prm_export(folder, "-o", output, "--settings-from", tmp_path / "elsewhere.prm").code == 0
    assert Bundle.open(output).manifest.proposals == bundle.manifest.proposals
    result = prm_export(checkpoint, "-o", tmp_path / "x.prm", "--settings-from", colour_bundle)
    assert result.code == 1
    assert "its classes are not those of the network" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "int8"], "--precision int8 goes with --calibrate FOLDER"),
        (["--calibrate", "."], "--precision int8 goes with --calibrate FOLDER"),
        (["--precision", "int8", "--calibrate", "no/where"], "no such folder"),
        (["--prm", "shared", "--stop-stride", "16"], "--split-stride has to be larger than --stop-stride"),
        (["--fused", "--batch", "2"], "leave out --fused or --batch"),
        (["--size", "96x128"], "add --fixed"),
    ],
)
def test_what_does_not_go_together_is_said(
    prm_export: Command, checkpoint: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    output = tmp_path / "x.prm"
    result = prm_export(checkpoint, "-o", output, *arguments)
    assert result.code == 1
    assert message in result.err.splitlines()[-1]
    assert not output.exists()


def test_calibration_takes_pictures_from_the_whole_folder(pictures: Path) -> None:
    assert len(pictures_of(pictures, 100, "here")) == FEWEST + 1
    chosen = pictures_of(pictures, 8, "here")
    assert len(chosen) == 8
    assert (chosen[0] == draw_blobs()[0]).all()
    assert (chosen[-1] == moving_blobs(FEWEST + 1)[-1]).all()


def test_a_handful_of_pictures_is_too_few(tmp_path: Path) -> None:
    write_png(tmp_path / "one.png", draw_blobs()[0])
    with pytest.raises(ExportError, match="here: 1 pictures are too few to learn from"):
        pictures_of(tmp_path, 100, "here")
