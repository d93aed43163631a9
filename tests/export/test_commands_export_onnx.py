"""``prm-export --onnx FILE --labels FILE -o NAME.prm``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fixtures.command_line import Command
from tests.fixtures.zoo_files import write_zoo_file

from prm_export.verify import packaged_picture
from prm_proposals import presets
from prm_runtime.bundle import Bundle
from prm_runtime.segmenter import Segmenter

CLASSES = 24


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    return path


def test_a_file_that_others_made_becomes_a_bundle_that_runs(
    prm_export: Command, labels: Path, tmp_path: Path
) -> None:
    output = tmp_path / "net.prm"
    file = write_zoo_file("squeezenet", tmp_path)
    result = prm_export("--onnx", file, "--labels", labels, "--size", 160, "-o", output)
    assert result.code == 0, result.err
    assert "assumed: RGB, (pixel - [123.675, 116.28, 103.53])" in result.err.replace("\n", " ")
    manifest = Bundle.open(output).manifest
    assert (len(manifest.classes), manifest.peaks.max_peaks) == (CLASSES, 256)
    assert manifest.proposals == presets.NO_NETWORK
    assert manifest.retrieval.presence_from == "softmax"
    segmenter = Segmenter.open(output, threads=1)
    instances = segmenter(packaged_picture())
    assert set(instances.labels) <= set(manifest.classes)


WRONG = {
    "no labels": (["--onnx", "x.onnx"], "--onnx FILE goes with --labels FILE"),
    "nothing": ([], "nothing to export"),
    "std of pixels 0..1": (
        ["--onnx", "x", "--labels", "y", "--std", "0.229"],
        "multiply mean and std by 255",
    ),
    "two numbers": (["--onnx", "x", "--labels", "y", "--mean", "1,2"], "takes one number or three"),
    "labels are missing": (["--onnx", "x", "--labels", "y"], "y: the labels cannot be read"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(
    prm_export: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    output = tmp_path / "net.prm"
    result = prm_export(*arguments, "-o", output)
    assert result.code == 1
    assert message in result.err.replace("\n", " ")
    assert not output.exists()


def test_another_number_of_labels_is_refused(prm_export: Command, labels: Path, tmp_path: Path) -> None:
    file = write_zoo_file("squeezenet", tmp_path, CLASSES + 1)
    result = prm_export("--onnx", file, "--labels", labels, "-o", tmp_path / "net.prm")
    assert result.code == 1
    assert "24 labels were given" in result.err.replace("\n", " ")
