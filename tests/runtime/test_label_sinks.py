"""Data sets of pseudo-labels and COCO results: other programs read them, and a kill leaves them readable."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO
from tests.fixtures.shapes import CLASSES, SIZE, awkward_masks, awkward_result, iou

from prm_evaluation.datasets.coco import CocoDataset as CocoReader
from prm_runtime.console import PrmError
from prm_runtime.polygons import polygon_mask
from prm_runtime.sinks import Sink, SinkError
from prm_runtime.sinks.coco import CocoDataset, CocoIds, CocoResults, assemble_dataset
from prm_runtime.sinks.journal import finish, journal_path
from prm_runtime.sinks.labelme import LabelmeFolder
from prm_runtime.sinks.yolo import YoloDataset

# What labelme's own reader demands (labelme/_label_file.py of 6.3), written down as a JSON Schema.
LABELME_SCHEMA = {
    "type": "object",
    "required": ["version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"],
    "properties": {
        "version": {"type": "string"},
        "flags": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "imagePath": {"type": "string"},
        "imageData": {"type": ["string", "null"]},
        "imageHeight": {"type": "integer"},
        "imageWidth": {"type": "integer"},
        "shapes": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["label", "points", "shape_type"],
                "properties": {
                    "label": {"type": "string"},
                    "points": {
                        "type": "array",
                        "minItems": 3,
                        "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                    },
                    "group_id": {"type": ["integer", "null"]},
                    "shape_type": {"const": "polygon"},
                    "flags": {"type": "object"},
                    "description": {"type": "string"},
                    "mask": {"type": "null"},
                },
            },
        },
    },
}


def write_all(sink: Sink) -> None:
    """Two frames of a video, one without instances, and a picture."""
    sink.write(awkward_result(3, 0.1))
    sink.write(awkward_result(4, 0.2, empty=True))
    sink.write(awkward_result(source="photos/a.png"))
    sink.close()


@contextmanager
def full_disk(bytes_left: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_pycocotools_loads_the_dataset(tmp_path: Path) -> None:
    write_all(CocoDataset(str(tmp_path), CLASSES))
    path = tmp_path / "annotations" / "instances_default.json"
    coco = COCO(str(path))
    assert [image["file_name"] for image in coco.dataset["images"]] == [
        "clip_000003.jpg", "clip_000004.jpg", "a.jpg"
    ]  # fmt: skip
    assert [category["name"] for category in coco.dataset["categories"]] == list(CLASSES)
    assert sorted(coco.anns) == list(range(1, 11))
    for image_id in (1, 3):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        for annotation, mask in zip(annotations, awkward_masks(), strict=True):
            assert iou(coco.annToMask(annotation).astype(bool), mask) >= 0.95
            assert annotation["area"] == mask.sum()
    assert coco.getAnnIds(imgIds=[2]) == []
    assert not journal_path(path).exists()
    for image in coco.dataset["images"]:
        picture = cv2.imread(str(tmp_path / "images" / "default" / image["file_name"]))
        assert picture.shape == (*SIZE, 3)


def test_our_own_reader_takes_the_dataset(tmp_path: Path) -> None:
    write_all(CocoDataset(str(tmp_path), CLASSES))
    dataset = CocoReader(tmp_path, "default")
    assert dataset.classes == CLASSES
    masks, class_ids = dataset.instance_masks(dataset.samples[0])
    assert class_ids.tolist() == [0, 1, 2, 1, 0]
    assert all(iou(a, b) >= 0.95 for a, b in zip(masks, awkward_masks(), strict=True))
    assert dataset.samples[0].image_path.is_file()


def test_results_take_the_numbers_of_the_ground_truth(tmp_path: Path) -> None:
    truth_path = tmp_path / "truth.json"
    categories = [{"id": 10 * n, "name": name} for n, name in enumerate(CLASSES, 1)]
    image = {"id": 77, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    content = {"info": {}, "images": [image], "categories": categories, "annotations": []}
    truth_path.write_text(json.dumps(content))
    sink = CocoResults(str(tmp_path / "results.json"), CLASSES, CocoIds(truth_path))
    sink.write(awkward_result(source="photos/a.png"))
    sink.close()
    results = COCO(str(truth_path)).loadRes(str(tmp_path / "results.json"))
    annotations = results.loadAnns(results.getAnnIds(imgIds=[77]))
    assert [a["category_id"] for a in annotations] == [10, 20, 30, 20, 10]
    for annotation, mask in zip(annotations, awkward_masks(), strict=True):
        np.testing.assert_array_equal(results.annToMask(annotation), mask)


def test_results_without_ground_truth_count_from_one(tmp_path: Path) -> None:
    write_all(CocoResults(str(tmp_path / "results.json"), CLASSES))
    entries = json.loads((tmp_path / "results.json").read_text())
    assert [entry["image_id"] for entry in entries] == [1] * 5 + [3] * 5
    assert {entry["file_name"] for entry in entries} == {"clip.mp4", "a.png"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected COCO annotations with 'images' and 'categories'"),
        ('{"images": [], "categories": [{"id": 1, "name": "cat"}]}', "has no category 'dog'; it has cat"),
        (
            json.dumps({"images": [], "categories": [{"id": n, "name": c} for n, c in enumerate(CLASSES)]}),
            r"lists no picture a\.png",
        ),
    ],
)
def test_unfit_ground_truth_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "truth.json").write_text(content)

    def use() -> None:
        sink = CocoResults(str(tmp_path / "r.json"), CLASSES, CocoIds(tmp_path / "truth.json"))
        sink.write(awkward_result(source="a.png"))

    with pytest.raises(PrmError, match=message):
        use()


def test_a_killed_run_loses_no_frame_that_was_written(tmp_path: Path) -> None:
    sink = CocoDataset(str(tmp_path), CLASSES)
    sink.write(awkward_result(0, 0.0))
    sink.write(awkward_result(1, 0.1))
    target = tmp_path / "annotations" / "instances_default.json"
    journal = journal_path(target)
    with journal.open("ab") as file:
        file.write(b'{"image": {"id": 3, "file_na')  # killed in the middle of a line
    with pytest.raises(SinkError, match="prm-run recover"):
        CocoDataset(str(tmp_path), CLASSES)  # a next run must not write over it
    assert finish(target, assemble_dataset) == 2
    coco = COCO(str(target))
    assert len(coco.imgs) == 2
    assert len(coco.anns) == 10
    assert not journal.exists()


def test_a_journal_that_is_damaged_inside_is_an_error(tmp_path: Path) -> None:
    sink = CocoResults(str(tmp_path / "r.json"), CLASSES)
    sink.write(awkward_result())
    journal = tmp_path / "r.json.journal"
    journal.write_bytes(journal.read_bytes().replace(b'{"results', b"{results"))
    with pytest.raises(SinkError, match="line 2 is damaged"):
        sink.close()
    assert journal.exists()


def test_a_full_disk_takes_back_the_record_that_did_not_fit(tmp_path: Path) -> None:
    sink = CocoResults(str(tmp_path / "r.json"), CLASSES)
    journal = tmp_path / "r.json.journal"
    sink.write(awkward_result(0, 0.0))
    size = journal.stat().st_size
    with full_disk(size + 100):
        with pytest.raises(OSError, match="File too large"):
            sink.write(awkward_result(1, 0.1))
        assert journal.stat().st_size == size
    with full_disk(size // 2), pytest.raises(SinkError, match="make room and run"):
        sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json.journal"]
    sink.close()  # there is room again
    assert len(json.loads((tmp_path / "r.json").read_text())) == 5


def test_yolo_outlines_give_the_masks_back(tmp_path: Path) -> None:
    write_all(YoloDataset(str(tmp_path), CLASSES))
    config = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert config["names"] == dict(enumerate(CLASSES))
    assert len(list((tmp_path / config["train"]).iterdir())) == 3
    labels = tmp_path / "labels" / "train"
    assert (labels / "clip_000004.txt").read_text() == ""
    lines = (labels / "clip_000003.txt").read_text().splitlines()
    assert len(lines) == 5
    for line, mask, class_id in zip(lines, awkward_masks(), [0, 1, 2, 1, 0], strict=True):
        numbers = line.split()
        assert int(numbers[0]) == class_id
        outline = np.array(numbers[1:], np.float64).reshape(-1, 2)
        assert ((outline >= 0) & (outline <= 1)).all()
        assert iou(polygon_mask([outline * SIZE[::-1]], *SIZE), mask) >= 0.95


def test_labelme_files_fit_its_schema(tmp_path: Path) -> None:
    write_all(LabelmeFolder(str(tmp_path)))
    for name in ("clip_000003", "clip_000004", "a"):
        content = json.loads((tmp_path / f"{name}.json").read_text())
        jsonschema.validate(content, LABELME_SCHEMA)
        picture = cv2.imread(str(tmp_path / content["imagePath"]))
        assert picture.shape == (content["imageHeight"], content["imageWidth"], 3)
    shapes = json.loads((tmp_path / "clip_000003.json").read_text())["shapes"]
    assert [shape["label"] for shape in shapes if shape["group_id"] == 2] == ["potted plant"] * 2
    assert shapes[0]["description"] == "score 0.90, track 4"
    for n, mask in enumerate(awkward_masks()):
        rings = [np.array(shape["points"]) for shape in shapes if shape["group_id"] == n]
        assert iou(polygon_mask(rings, *SIZE), mask) >= 0.95


@pytest.mark.parametrize("sink_type", [YoloDataset, LabelmeFolder])
def test_a_full_disk_leaves_no_half_file(tmp_path: Path, sink_type: type[YoloDataset]) -> None:
    sink = LabelmeFolder(str(tmp_path)) if sink_type is LabelmeFolder else YoloDataset(str(tmp_path), CLASSES)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        sink.write(awkward_result(0, 0.0))
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
