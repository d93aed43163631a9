"""``prm-eval`` and ``prm-eval tune`` on a tiny COCO data set, with a model whose answers are known."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.fixtures.coco_tree import CATEGORIES, edit, write_coco_tree
from tests.fixtures.colour_blobs import BLOBS, CLASSES, Blob
from tests.fixtures.voc_tree import write_voc_tree
from typer.testing import CliRunner

from prm_evaluation.cli import app
from prm_evaluation.datasets import CocoDataset
from prm_evaluation.evaluate import Evaluation, evaluate
from prm_evaluation.ground_truth import first_samples, open_ground_truth, protocol
from prm_evaluation.methods import METHODS, open_segmenters
from prm_evaluation.metrics import COCO_FIGURES
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.results import encode_mask
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

PICTURES = {
    "three": BLOBS,
    "blue_left": (Blob("blue", 200, 160, 80), Blob("green", 380, 60, 40)),
    "two_red": (Blob("red", 100, 200, 60), Blob("red", 330, 120, 70)),
    "one_green": (Blob("green", 100, 100, 50),),
}
CROWDS = {"one_green": (Blob("red", 330, 200, 80),)}
UNLABELLED = {"blue_left": (Blob("red", 60, 280, 26),), "two_red": (Blob("green", 200, 50, 24),)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco_tree(tmp_path_factory.mktemp("coco") / "blobs", PICTURES, CROWDS, UNLABELLED)


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def measured(bundle_path: Path, root: Path, split: str) -> dict[str, Evaluation]:
    bundle = Bundle.open(bundle_path)
    segmenters = open_segmenters(bundle, bundle.manifest.retrieval, METHODS, "onnxruntime")
    return evaluate(segmenters, open_ground_truth(root, split, CLASSES))


def test_coco_and_voc_give_the_same_figures_of_the_same_pictures(colour_bundle, tmp_path):
    coco = write_coco_tree(tmp_path / "coco", PICTURES, unlabelled=UNLABELLED)
    voc = write_voc_tree(tmp_path / "voc", PICTURES, UNLABELLED)
    of_coco, of_voc = measured(colour_bundle, coco, "val2017"), measured(colour_bundle, voc, "val")
    for method in METHODS:
        assert of_coco[method].objects == 8
        assert of_coco[method].summary() == of_voc[method].summary()
        assert of_coco[method].coco_summary() == pytest.approx(of_voc[method].coco_summary(), nan_ok=True)
        assert 0 < of_coco[method].coco_summary()["AP"] < 100


def test_the_figures_are_those_of_pycocotools_on_the_file_itself(colour_bundle, tmp_path):
    """With category ids, areas and crowds as the file has them, and results as COCO's server takes them."""
    tree = write_coco_tree(tmp_path, PICTURES, CROWDS, UNLABELLED)
    with edit(tree) as content:
        for annotation, area in zip(content["annotations"], (500, 5000), strict=False):
            annotation["area"] = area
    bundle = Bundle.open(colour_bundle)
    segmenter = Segmenter.open(colour_bundle, retrieval=bundle.manifest.retrieval)
    file = tree / "annotations" / "instances_val2017.json"
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        results = [
            {
                "image_id": image["id"],
                "category_id": CATEGORIES[label],
                "segmentation": encode_mask(mask),
                "score": float(score),
            }
            for image in truth.imgs.values()
            for found in [segmenter(read_picture(tree / "val2017" / image["file_name"]))]
            for label, mask, score in zip(found.labels, found.masks, found.scores, strict=True)
        ]
        official = COCOeval(truth, truth.loadRes(results), "segm")
        official.evaluate()
        official.accumulate()
        official.summarize()
    ours = measured(colour_bundle, tree, "val2017")[bundle.manifest.retrieval.method].coco_summary()
    expected = np.where(official.stats < 0, np.nan, 100 * official.stats)
    assert list(ours.values()) == pytest.approx(expected.tolist(), nan_ok=True)
    assert all(0 < ours[name] <= 100 for name in COCO_FIGURES)


def test_a_crowd_is_a_label_but_no_object(colour_bundle, tree, tmp_path):
    crowded = measured(colour_bundle, tree, "val2017")["walk"]
    single = write_coco_tree(tmp_path / "coco", PICTURES, CROWDS, UNLABELLED)
    with edit(single) as content:
        for annotation in content["annotations"]:
            annotation["iscrowd"] = 0
    told_apart = measured(colour_bundle, single, "val2017")["walk"]
    assert (crowded.objects, told_apart.objects) == (8, 9)
    assert crowded.classification.tolist() == told_apart.classification.tolist()
    assert crowded.localisation.tolist() == told_apart.localisation.tolist()
    red = CLASSES.index("red")
    assert crowded.precision[0.5][red] < told_apart.precision[0.5][red]  # mAP^r knows no crowds
    assert crowded.semantic[0] == pytest.approx(told_apart.semantic[0], abs=0.01)  # void is no background


def test_the_command_prints_cocos_figures_and_where_the_masks_are_from(colour_bundle, tree):
    printed = invoke(colour_bundle, "--data", tree, "--split", "val2017")
    for name in COCO_FIGURES:
        assert name in printed
    assert "mAP50" in printed
    assert "blobs val2017, 4 pictures, instance masks of instances_val2017.json" in printed
    assert "DONE" not in printed


def test_json_has_cocos_figures_and_nothing_else_is_on_stdout(colour_bundle, tree):
    text = invoke(colour_bundle, "--data", tree, "--split", "val2017", "--limit", "2", "--json", "-")
    report = json.loads(text)
    figures = report["results"]["walk"]["coco"]
    assert tuple(figures) == COCO_FIGURES
    assert 0 < figures["AP"] <= 100
    assert figures["AP small"] is None  # no blob is that small
    assert report["protocol"].startswith("blobs val2017 subset, 2 pictures")


def test_tuning_works_on_coco(colour_bundle, tree, tmp_path):
    out = tmp_path / "tuned.prm"
    options = ("--split", "val2017", "--out", out, "--evaluations", "2", "--processes", "1")
    invoke("tune", colour_bundle, "--data", tree, *options)
    provenance = Bundle.open(out).manifest.provenance
    assert provenance.metrics["walk mAP50"] > 50
    assert (
        "blobs val2017, 4 pictures, instance masks of instances_val2017.json" in provenance.metrics_protocol
    )


def test_any_order_of_classes_will_do_but_none_may_be_missing(tree, tmp_path):
    dataset = open_ground_truth(tree, "val2017", ("blue", "pink", "green", "red"))
    assert dataset.instance_masks(dataset.samples[0])[1].tolist() == [3, 2, 3]
    with edit(write_coco_tree(tmp_path, PICTURES)) as content:
        for category, name in zip(content["categories"], ("dog", "cat", "person"), strict=True):
            category["name"] = name
    dataset = open_ground_truth(tmp_path, "val2017", ("person", "dog", "cat"))  # not VOC for VOC's names
    assert dataset.instance_masks(dataset.samples[0])[1].tolist() == [1, 2, 1]
    with pytest.raises(PrmError, match=r"objects of blue, the bundle knows 2 classes \(red, green"):
        open_ground_truth(tree, "val2017", ("red", "green"))


def test_more_classes_than_a_class_mask_can_hold_are_refused(tree):
    names = CLASSES + tuple(f"class {n}" for n in range(252))
    open_ground_truth(tree, "val2017", names[:254])
    with pytest.raises(PrmError, match="up to 254 classes can be measured, the bundle knows 255"):
        open_ground_truth(tree, "val2017", names)


def test_pictures_without_a_file_are_named_before_any_is_measured(tmp_path):
    root = write_coco_tree(tmp_path, PICTURES)
    (root / "val2017" / "two_red.jpg").unlink()
    dataset = open_ground_truth(root, "val2017", CLASSES)
    assert len(first_samples(dataset, 2)) == 2
    with pytest.raises(
        PrmError, match=r"1 of 4 pictures are listed but have no file: .*two_red\.jpg; add them"
    ):
        first_samples(dataset, None)


def test_a_folder_that_is_neither_coco_nor_voc_is_refused(tmp_path):
    with pytest.raises(PrmError, match=r"no masks to measure by: give a VOC tree .* or a COCO data set"):
        open_ground_truth(tmp_path, "val", CLASSES)


def test_the_protocol_tells_a_subset_of_coco_from_the_whole(tree):
    eighty = CLASSES + tuple(f"class {n}" for n in range(77))
    part = CocoDataset(tree, "val2017", eighty)
    assert protocol(part, "val2017", 4, "masks") == "blobs val2017 subset, 4 pictures, masks"
    assert protocol(part, "val2017", 5000, "masks") == "blobs val2017, 5000 pictures, masks"
    own = CocoDataset(tree, "val2017")
    assert protocol(own, "val2017", 4, "masks") == "blobs val2017, 4 pictures, masks"
