"""``prm-eval calibrate`` on a folder of pictures with a table of labels and nothing else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import CLASSES, Blob, draw_blobs
from typer.testing import CliRunner

from prm_evaluation.cli import app
from prm_proposals.evidence import class_strength
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

PICTURES = {
    f"{number}-{name}": (Blob(name, 120 + 40 * number, 150, 60),) for number in range(4) for name in CLASSES
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["file,labels"]
    for name, blobs in PICTURES.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(draw_blobs(blobs)[0], cv2.COLOR_RGB2BGR))
        lines.append(f"{name}.png,{';'.join(blob.label for blob in blobs)}")
    (tmp_path / "val.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def calibrate(*arguments: object):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_classes_become_present_where_they_are(colour_bundle: Path, folder: Path) -> None:
    out = folder / "calibrated.prm"
    result = calibrate(colour_bundle, "--data", folder, "--out", out)
    assert result.exit_code == 0, result.output
    before, after = Bundle.open(colour_bundle).manifest, Bundle.open(out).manifest
    assert len(after.retrieval.class_offsets) == len(before.classes)
    assert after.retrieval.walk == before.retrieval.walk
    segmenter = Segmenter.open(out)
    for name, blobs in PICTURES.items():
        responses = segmenter.responses(read_picture(folder / f"{name}.png"))
        strength = class_strength(*responses, after.retrieval)
        assert segmenter.classes[int(strength.argmax())] == blobs[0].label
        assert np.flatnonzero(strength > after.retrieval.presence).tolist() == [strength.argmax()]


def test_labels_that_teach_nothing_are_refused(colour_bundle: Path, folder: Path) -> None:
    lines = [f"{name}.png,{';'.join(CLASSES)}" for name in PICTURES]
    (folder / "val.csv").write_text("\n".join(["file,labels", *lines]) + "\n")
    out = folder / "calibrated.prm"
    result = calibrate(colour_bundle, "--data", folder, "--out", out)
    assert isinstance(result.exception, PrmError)
    assert "nothing was learnt" in str(result.exception)
    assert not out.exists()
