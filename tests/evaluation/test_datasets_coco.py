"""COCO data sets: splits, classes, labels, boxes, masks and crowds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.coco_tree import edit, uncompressed, write_coco_tree
from tests.fixtures.colour_blobs import BLOBS, CLASSES, Blob, draw_blobs

from prm_evaluation.datasets import CocoDataset, ImageLabels, Sample, check_dataset, open_dataset
from prm_runtime.console import PrmError
from prm_runtime.results import encode_mask

OVERLAPPING = (Blob("red", 200, 160, 60), Blob("blue", 240, 160, 60), Blob("red", 180, 160, 30))
CROWD = (Blob("blue", 350, 160, 90),)  # over a part of the second of OVERLAPPING
PICTURES = {"three": BLOBS, "crowded": OVERLAPPING, "none": ()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_coco_tree(tmp_path / "coco", PICTURES, {"crowded": CROWD})


def sample_named(dataset: CocoDataset, name: str) -> Sample:
    return next(sample for sample in dataset.samples if sample.image_path.stem == name)


@pytest.mark.parametrize("folder", ["val2017", "images/val2017"])
def test_pictures_have_the_labels_of_their_objects(folder: str, tmp_path: Path) -> None:
    root = write_coco_tree(tmp_path, PICTURES, {"none": CROWD}, folder=folder)
    dataset = open_dataset(root, "val2017")
    assert dataset.classes == CLASSES
    assert [(sample.id, sample.image_path.name, sample.labels) for sample in dataset.samples] == [
        ("val2017-100", "three.jpg", {"red", "green"}),
        ("val2017-101", "crowded.jpg", {"red", "blue"}),
        ("val2017-102", "none.jpg", {"blue"}),  # of a crowd
    ]
    assert all(sample.image_path.parent == root / folder for sample in dataset.samples)
    check_dataset(dataset)


def test_class_ids_are_positions_among_the_categories_of_the_file(tree: Path) -> None:
    with edit(tree) as content:
        content["categories"].reverse()
    dataset = CocoDataset(tree, "val2017")
    assert dataset.classes == ("blue", "green", "red")
    assert dataset.instance_masks(sample_named(dataset, "three"))[1].tolist() == [2, 1, 2]
    assert dataset.boxes(sample_named(dataset, "three"))[1].tolist() == [2, 1, 2]


def test_class_ids_follow_the_classes_given(tree: Path) -> None:
    dataset = CocoDataset(tree, "val2017", ("green", "pink", "red", "blue"))
    assert dataset.classes == ("green", "pink", "red", "blue")
    assert dataset.instance_masks(sample_named(dataset, "three"))[1].tolist() == [2, 0, 2]


def test_training_is_given_labels_without_masks(tree: Path) -> None:
    with edit(tree) as content:
        for annotation in content["annotations"]:
            annotation["segmentation"] = "no mask"
    dataset = open_dataset(tree, "val2017", ("blue", "green", "red"))
    assert isinstance(dataset, ImageLabels)
    assert dataset.classes == ("blue", "green", "red")
    assert dataset.samples[0].labels == {"red", "green"}


def test_masks_are_read_to_the_pixel(tree: Path) -> None:
    dataset = CocoDataset(tree, "val2017")
    masks, class_ids = dataset.instance_masks(sample_named(dataset, "crowded"))
    assert class_ids.tolist() == [0, 2, 0]
    assert np.array_equal(masks, draw_blobs(OVERLAPPING)[1])
    masks, class_ids = dataset.instance_masks(sample_named(dataset, "none"))
    assert (masks.shape, class_ids.shape) == ((0, 336, 448), (0,))


def test_where_two_classes_or_a_crowd_are_the_class_mask_is_void(tree: Path) -> None:
    dataset = CocoDataset(tree, "val2017")
    red, blue, small_red = draw_blobs(OVERLAPPING)[1]
    crowd = draw_blobs(CROWD)[1][0]
    assert (small_red & blue).any()
    assert (crowd & blue).any()
    expected = np.zeros(red.shape, np.uint8)
    expected[crowd] = 255
    expected[red | small_red] = 1
    expected[blue] = 3
    expected[blue & (red | small_red)] = 255
    class_mask = dataset.class_mask(sample_named(dataset, "crowded"))
    assert class_mask.dtype == np.uint8
    assert np.array_equal(class_mask, expected)
    assert not dataset.class_mask(sample_named(dataset, "none")).any()


def test_a_crowd_is_told_from_objects(tree: Path) -> None:
    dataset = CocoDataset(tree, "val2017")
    sample = sample_named(dataset, "crowded")
    objects = dataset.objects(sample)
    assert objects.crowd.tolist() == [False, False, False, True]
    assert objects.class_ids.tolist() == [0, 2, 0, 2]
    assert np.array_equal(objects.masks[3], draw_blobs(CROWD)[1][0])
    boxes, class_ids = dataset.boxes(sample)
    assert class_ids.tolist() == [0, 2, 0, 2]
    assert boxes[3].tolist() == [260, 70, 441, 251]


def test_areas_are_those_of_the_file_or_else_counted(tree: Path) -> None:
    with edit(tree) as content:
        content["annotations"][0]["area"] = 12.5
        del content["annotations"][1]["area"]
    dataset = CocoDataset(tree, "val2017")
    masks = draw_blobs(BLOBS)[1]
    assert dataset.objects(dataset.samples[0]).areas.tolist() == [12.5, masks[1].sum(), masks[2].sum()]


def test_boxes_enclose_what_is_annotated(tree: Path) -> None:
    with edit(tree) as content:
        content["annotations"][0]["bbox"] = [2.75, 3, 4.5, 5]
    dataset = CocoDataset(tree, "val2017")
    boxes, class_ids = dataset.boxes(dataset.samples[0])
    assert boxes[0].tolist() == [2, 3, 8, 8]
    for (x0, y0, x1, y1), mask in zip(boxes[1:], draw_blobs(BLOBS)[1][1:], strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
    boxes, class_ids = dataset.boxes(sample_named(dataset, "none"))
    assert (boxes.shape, class_ids.shape) == ((0, 4), (0,))


TWO_RECTANGLES = np.zeros((336, 448), bool)
TWO_RECTANGLES[20:40, 10:50] = TWO_RECTANGLES[60:70, 10:20] = True


@pytest.mark.parametrize(
    "segmentation",
    [
        [[10, 20, 50, 20, 50, 40, 10, 40], [10.0, 60.0, 20.0, 60.0, 20.0, 70.0, 10.0, 70.0]],
        uncompressed(TWO_RECTANGLES),
        encode_mask(TWO_RECTANGLES),
    ],
    ids=["polygons", "runs", "compressed"],
)
def test_every_way_of_writing_a_mask_is_read(segmentation: object, tree: Path) -> None:
    with edit(tree) as content:
        content["annotations"][0]["segmentation"] = segmentation
    dataset = CocoDataset(tree, "val2017")
    assert np.array_equal(dataset.instance_masks(dataset.samples[0])[0][0], TWO_RECTANGLES)


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        "mask",
        None,
        [["a", "b", "c", "d", "e", "f"]],
        [[1, 2, 3]],
        {"size": [336, 448], "counts": [3, 7]},
        encode_mask(np.zeros((20, 30), bool)),
        {"counts": "zz"},
    ],
)
def test_a_damaged_mask_is_named_when_it_is_wanted(segmentation: object, tree: Path) -> None:
    with edit(tree) as content:
        content["annotations"][1]["segmentation"] = segmentation
    dataset = CocoDataset(tree, "val2017")
    with pytest.raises(
        PrmError, match=r"annotation 1001 is neither polygons nor RLE that fit three\.jpg"
    ) as e:
        dataset.instance_masks(dataset.samples[0])
    assert "\n" not in str(e.value)


def test_splits_and_folders_that_are_missing_are_named(tree: Path, tmp_path: Path) -> None:
    write_coco_tree(tree, {"a": ()}, split="train2017", folder="train2017")
    with pytest.raises(
        PrmError, match=r"no annotations/instances_val\.json: .* \(train2017, val2017\) choose"
    ):
        open_dataset(tree, "val")
    (tree / "val2017").rename(tmp_path / "elsewhere")
    with pytest.raises(
        PrmError, match="no pictures of split 'val2017': put them into val2017 or images/val2017"
    ):
        open_dataset(tree, "val2017")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PrmError, match=r"or a COCO data set \(with annotations/instances_\*\.json\)"):
        open_dataset(tmp_path / "empty", "val2017")


def test_a_listed_picture_without_a_file_is_named_before_training(tree: Path) -> None:
    (tree / "val2017" / "three.jpg").unlink()
    with pytest.raises(PrmError, match=r"1 missing pictures: .*val2017/three\.jpg"):
        check_dataset(open_dataset(tree, "val2017"))


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "no COCO instances file, wrong at annotations: Field required"),
        (lambda c: c["annotations"].clear(), "annotates no object in 3 pictures: use a file that does"),
        (
            lambda c: c["annotations"][2].pop("bbox"),
            "wrong at annotations.2.bbox: Field required; expected 'imag",
        ),
        (lambda c: c["annotations"][2].update(bbox=[1, 2]), "wrong at annotations.2.bbox"),
        (lambda c: c["images"][1].pop("file_name"), "wrong at images.1.file_name: Field required"),
        (lambda c: c["images"][1].update(width=0), "wrong at images.1.width: Input should be greater than 0"),
        (
            lambda c: c["annotations"][3].update(category_id=2),
            "annotations of category_id 2, which its 'categories' do not list: add them there, or remove",
        ),
        (lambda c: c["images"].pop(0), "annotations of image_id 100, which its 'images' do not list"),
        (lambda c: c["images"][1].update(id=100), "has several images with id 100: expected one"),
        (lambda c: c["categories"][1].update(id=90), "has several categories with id 90: expected one"),
        (lambda c: c["categories"][1].update(name="red"), "has several categories named red: expected one"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(change: Change, message: str, tree: Path) -> None:
    with edit(tree) as content:
        change(content)
    with pytest.raises(PrmError) as error:
        open_dataset(tree, "val2017")
    assert str(error.value).startswith(str(tree / "annotations" / "instances_val2017.json"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b'{"images": [', b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_json_is_refused(content: bytes, tree: Path) -> None:
    (tree / "annotations" / "instances_val2017.json").write_bytes(content)
    with pytest.raises(PrmError, match=r"instances_val2017\.json is no JSON, fetch or write it again: "):
        open_dataset(tree, "val2017")


def test_json_of_something_else_is_refused(tree: Path) -> None:
    (tree / "annotations" / "instances_val2017.json").write_text("[]")
    with pytest.raises(PrmError, match="is no COCO instances file, wrong at the top: "):
        open_dataset(tree, "val2017")
