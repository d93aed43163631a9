"""``prm-eval`` on a tiny VOC tree, with a model whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, CLASSES, Blob
from tests.fixtures.voc_tree import write_voc_tree
from typer.testing import CliRunner

from prm_evaluation.cli import app
from prm_evaluation.datasets import VOC_CLASSES
from prm_evaluation.evaluate import evaluate
from prm_evaluation.ground_truth import open_ground_truth, protocol
from prm_evaluation.methods import METHODS, open_segmenters
from prm_proposals.settings import RetrievalSettings
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError

PICTURES = {
    "three": BLOBS,
    "blue_left": (Blob("blue", 200, 160, 80), Blob("green", 380, 60, 40)),
    "two_red": (Blob("red", 100, 200, 60), Blob("red", 330, 120, 70)),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voc_tree(tmp_path_factory.mktemp("voc") / "blobs", PICTURES)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_blob_is_found(colour_bundle, tree):
    bundle = Bundle.open(colour_bundle)
    dataset = open_ground_truth(tree, "val", CLASSES)
    figures = evaluate(open_segmenters(bundle, bundle.manifest.retrieval, METHODS, "onnxruntime"), dataset)
    assert set(figures) == {"walk", "eq6"}
    for evaluation in figures.values():
        summary = evaluation.summary()
        assert (evaluation.pictures, evaluation.objects) == (3, 7)
        assert (summary["mAP25"], summary["mAP50"]) == (100, 100)
        assert (summary["localisation"], summary["classification"]) == (100, 100)
        assert 85 < summary["ABO"] <= 100
        assert 85 < summary["mIoU"] <= 100


def test_methods_side_by_side_equal_each_alone(colour_bundle, tree):
    bundle = Bundle.open(colour_bundle)
    dataset = open_ground_truth(tree, "val", CLASSES)
    both = evaluate(open_segmenters(bundle, bundle.manifest.retrieval, METHODS, "onnxruntime"), dataset)
    alone = evaluate(open_segmenters(bundle, bundle.manifest.retrieval, ["eq6"], "onnxruntime"), dataset)
    assert both["eq6"].summary() == alone["eq6"].summary()


def test_a_model_that_finds_nothing_scores_nothing(colour_bundle, tree):
    bundle = Bundle.open(colour_bundle)
    dataset = open_ground_truth(tree, "val", CLASSES)
    blind = RetrievalSettings(presence=1000.0)
    summary = evaluate(open_segmenters(bundle, blind, ["walk"], "onnxruntime"), dataset)["walk"].summary()
    assert (summary["mAP25"], summary["mAP75"], summary["ABO"]) == (0, 0, 0)
    assert 0 < summary["mIoU"] < 25  # the background alone
    assert summary["classification"] == 100  # is measured on scores, not on what is retrieved


def test_the_command_prints_tables_and_protocol(colour_bundle, tree):
    printed = run(colour_bundle, "--data", tree, "--per-class", "--limit", "2", "--masks-note", "drawn masks")
    assert "walk" in printed
    assert "eq6" in printed
    assert "green" in printed
    assert "blobs val subset, 2 pictures, drawn masks" in printed


def test_json_goes_to_stdout_alone(colour_bundle, tree):
    report = json.loads(run(colour_bundle, "--data", tree, "--retrieval", "walk", "--json", "-"))
    assert report["protocol"] == "blobs val, 3 pictures, instance masks of SegmentationObject"
    assert list(report["results"]) == ["walk"]
    assert report["results"]["walk"]["mAP50"] == 100
    assert set(report["results"]["walk"]["per_class"]["ABO"]) == set(CLASSES)


def test_json_goes_to_a_file(colour_bundle, tree, tmp_path):
    printed = run(colour_bundle, "--data", tree, "--limit", "1", "--json", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    assert (report["pictures"], report["objects"]) == (1, 3)
    assert report["results"]["eq6"]["per_class"]["mAP50"]["blue"] is None  # no blue in the first picture
    assert "mAP50" in printed


def test_a_bundle_of_other_classes_is_refused(tree):
    with pytest.raises(PrmError, match="objects of blue, green, red, the bundle knows 20 classes"):
        open_ground_truth(tree, "val", VOC_CLASSES)


def test_voc_is_not_read_with_other_classes(tmp_path):
    root = write_voc_tree(tmp_path / "voc", {"a": ()})
    (root / "Annotations" / "a.xml").write_text(
        "<annotation><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
        "</bndbox></object></annotation>"
    )
    with pytest.raises(PrmError, match="measure it on data of the same classes"):
        open_ground_truth(root, "val", ("dog", "cat"))  # the palette of VOC has dog at 12, not at 1


def test_a_split_without_objects_is_refused(tmp_path):
    root = write_voc_tree(tmp_path / "voc", {"a": ()})
    with pytest.raises(PrmError, match="holds no objects"):
        open_ground_truth(root, "val", CLASSES)


def test_masks_of_another_size_are_refused(colour_bundle, tmp_path):
    root = write_voc_tree(tmp_path / "voc", {"a": BLOBS})
    cv2.imwrite(str(root / "JPEGImages" / "a.jpg"), np.full((100, 90, 3), 128, np.uint8))
    bundle = Bundle.open(colour_bundle)
    dataset = open_ground_truth(root, "val", CLASSES)
    segmenters = open_segmenters(bundle, bundle.manifest.retrieval, ["walk"], "onnxruntime")
    with pytest.raises(PrmError, match=r"a\.jpg is \(100, 90\) .* mask \(336, 448\)"):
        evaluate(segmenters, dataset)


@pytest.mark.voc
def test_the_protocol_tells_a_subset_of_voc_from_the_whole(voc_root):
    dataset = open_ground_truth(voc_root, "val", VOC_CLASSES)
    pictures = len(dataset.samples)
    name = voc_root.resolve().name
    whole = protocol(dataset, "val", 1449, "official masks")
    assert whole == f"{name} val, 1449 pictures, official masks"
    part = protocol(dataset, "val", min(pictures, 754), "derived masks")
    assert part == f"{name} val subset, {min(pictures, 754)} pictures, derived masks"


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--json"],
        ["tables", "--json"],
        ["tables", "--markdown"],
        ["tables", "--plots"],
        ["tune", "--out"],
    ],
)
def test_files_that_cannot_be_written_are_refused_before_anything_is_measured(
    command, colour_bundle, tree, tmp_path
):
    name, option = command
    outcome = CliRunner().invoke(
        app, [name, str(colour_bundle), "--data", str(tree), option, str(tmp_path / "none" / "file")]
    )
    assert isinstance(outcome.exception, PrmError)
    assert f"there is no folder {tmp_path / 'none'}; make it first" in str(outcome.exception)
