"""``prm-export CHECKPOINT -o NAME.prm``, when all goes well."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.fixtures import tiny_backbone
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.command_line import Command
from tests.fixtures.media import write_png
from tests.fixtures.networks import CLASSES, INPUT_SIZE, Network, write_checkpoint

from prm_export import provenance
from prm_export.commands import source as command
from prm_export.pipeline import build_graphs
from prm_proposals import presets
from prm_proposals.settings import RetrievalSettings
from prm_runtime.bundle import Bundle
from prm_runtime.segmenter import Segmenter

ALL_PEAKS = RetrievalSettings(presence=-1e6, peak_floor=-1e6, peak_ratio=-1e6, score_offset=-1e6)


def test_a_checkpoint_becomes_a_verified_bundle(
    prm_export: Command, checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "tiny.prm"
    result = prm_export(checkpoint, "-o", output, "--max-peaks", 8, "--stop-stride", 4)
    assert result.code == 0, result.err
    assert "PRMs vs oracle: largest error / maximum" in result.err
    assert f"wrote {output}" in result.err.replace("\n", "")
    assert [path.name for path in output.parent.iterdir()] == ["tiny.prm"]
    manifest = Bundle.open(output).manifest
    assert (manifest.name, manifest.classes) == ("tiny", CLASSES)
    assert (manifest.peaks.window, manifest.peaks.max_peaks, manifest.peaks.stop_stride) == (3, 8, 4)
    assert manifest.peaks.rules == "paper"
    assert manifest.preprocessing.size == INPUT_SIZE
    assert manifest.preprocessing.mean == tiny_backbone.TinyBackbone.mean
    assert manifest.proposals == presets.for_taps(["block2", "block3", "block4"])
    assert (manifest.provenance.backbone, manifest.provenance.data) == ("tiny", "noise")
    assert manifest.provenance.recipe == {"epochs": 0}
    assert manifest.provenance.metrics == {"mAP": 0.5}


def test_the_published_codes_rules_can_be_chosen(
    prm_export: Command, checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "reference.prm"
    result = prm_export(checkpoint, "-o", output, "--rule", "reference")
    assert result.code == 0, result.err
    bundle = Bundle.open(output)
    assert bundle.manifest.peaks.rules == "reference"
    operators = {node.op_type for node in onnx.load_from_string(bundle.read("forward.onnx")).graph.node}
    assert "BatchNormalization" in operators


def test_exporting_again_gives_the_same_graphs(
    prm_export: Command, tiny: Network, checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "again.prm"
    assert prm_export(checkpoint, "-o", output).code == 0
    before = build_graphs(tiny.classifier, tiny.options(lazy_gains=True))
    bundle = Bundle.open(output)
    assert bundle.read("forward.onnx") == before.forward.SerializeToString()
    assert bundle.read("backprop.onnx") == before.backprop.SerializeToString()


@pytest.mark.usefixtures("ready_classifier")
def test_bundles_run_in_the_segmenter(prm_export: Command, checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "tiny.prm"
    frame = draw_blobs()[0]
    picture = write_png(tmp_path / "blobs.png", frame)
    assert prm_export(checkpoint, "-o", output, "--verify-image", picture).code == 0
    segmenter = Segmenter.open(output, threads=1, retrieval=ALL_PEAKS)
    evidence = segmenter.evidence(frame)
    assert len(evidence.prms) > 0
    np.testing.assert_allclose(evidence.prms.sum((1, 2)), 1, atol=1e-4)
    instances = segmenter(frame)
    assert len(instances.masks) > 0
    assert instances.masks.shape[1:] == frame.shape[:2]


def test_a_network_with_the_right_taps_gets_proposals_from_its_features(
    prm_export: Command,
    monkeypatch: pytest.MonkeyPatch,
    networks: Callable[[str], Network],
    tmp_path: Path,
) -> None:
    network = networks("efficientnet_lite0")
    monkeypatch.setattr(command, "export_classifier", lambda *_, **__: network.classifier)
    folder = write_checkpoint(tmp_path / "lite0", network.model, "efficientnet_lite0")
    output = tmp_path / "lite0.prm"
    assert prm_export(folder, "-o", output).code == 0
    assert Bundle.open(output).manifest.proposals == presets.LIVE
    segmenter = Segmenter.open(output, threads=1, retrieval=ALL_PEAKS)
    assert len(segmenter.evidence(draw_blobs()[0]).gallery) > 1


@pytest.mark.parametrize(("root", "is_ours"), [(".", True), ("venv/lib", False)])
def test_the_commit_is_that_of_the_projects_own_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: str, is_ours: bool
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    module = tmp_path / root / "export" / "prm_export" / "provenance.py"
    module.parent.mkdir(parents=True)
    git("init")
    git("commit", "--allow-empty", "--message", "empty")
    monkeypatch.setattr(provenance, "__file__", str(module))
    assert provenance.git_commit() == (git("rev-parse", "HEAD") if is_ours else None)
