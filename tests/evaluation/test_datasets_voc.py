"""VOC trees: splits, labels, boxes and masks."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.fixtures.colour_blobs import BLOBS, CLASSES, Blob, draw_blobs
from tests.fixtures.voc_tree import write_voc_tree

from prm_evaluation.datasets import VOC_CLASSES, VocDataset, check_dataset, open_dataset, open_voc
from prm_evaluation.datasets.voc import read_indexed_png
from prm_runtime.console import PrmError

OVERLAPPING = (Blob("red", 200, 160, 60), Blob("blue", 240, 160, 60))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_voc_tree(tmp_path / "VOC2012", {"three": BLOBS, "two": OVERLAPPING, "none": ()})


def test_samples_are_those_of_the_split_with_the_labels_of_their_annotations(tree: Path) -> None:
    dataset = VocDataset(tree, "val", CLASSES)
    assert [(sample.id, sample.labels) for sample in dataset.samples] == [
        ("three", {"red", "green"}),
        ("two", {"red", "blue"}),
        ("none", frozenset()),
    ]
    assert all(sample.image_path.is_file() for sample in dataset.samples)
    check_dataset(dataset)


@pytest.mark.parametrize("parents", ["VOC2012", "VOCdevkit/VOC2012"])
def test_the_folder_above_the_tree_will_do(parents: str, tmp_path: Path) -> None:
    write_voc_tree(tmp_path / parents, {"three": BLOBS})
    for root in (tmp_path, tmp_path / parents):
        dataset = open_dataset(root, "val")
        assert isinstance(dataset, VocDataset)
        assert dataset.root == tmp_path / parents
        assert dataset.classes == VOC_CLASSES


def test_training_looks_into_main_first_and_evaluation_into_segmentation(tree: Path) -> None:
    (tree / "ImageSets" / "Main").mkdir()
    (tree / "ImageSets" / "Main" / "val.txt").write_text("two -1\n\nthree  1\n")
    assert [sample.id for sample in open_dataset(tree, "val").samples] == ["two", "three"]
    assert [sample.id for sample in open_voc(tree, "val").samples] == ["three", "two", "none"]


def test_unknown_splits_and_trees_are_named(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="has no split 'trainval': it has val"):
        open_dataset(tree, "trainval")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PrmError, match="empty is no VOC tree: give the folder that holds ImageSets"):
        open_voc(tmp_path / "empty", "val")


def test_annotations_that_are_missing_or_damaged_are_all_named(tree: Path) -> None:
    (tree / "Annotations" / "two.xml").unlink()
    (tree / "Annotations" / "three.xml").write_text("<annotation><object>")
    (tree / "Annotations" / "none.xml").write_text(
        "<annotation><object><name>dog</name></object></annotation>"
    )
    with pytest.raises(PrmError, match=r"3 of 3 annotations in .* damaged: three\.xml, two\.xml, none\.xml"):
        _ = VocDataset(tree, "val", CLASSES).samples


def test_boxes_enclose_the_masks_and_exclude_their_far_corner(tree: Path) -> None:
    dataset = VocDataset(tree, "val", CLASSES)
    boxes, class_ids = dataset.boxes(dataset.samples[0])
    assert class_ids.tolist() == [0, 1, 0]
    for (x0, y0, x1, y1), mask in zip(boxes, draw_blobs(BLOBS)[1], strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert all(edge.any() for edge in (mask[y0], mask[y1 - 1], mask[:, x0], mask[:, x1 - 1]))
    boxes, class_ids = dataset.boxes(dataset.samples[2])
    assert (boxes.shape, class_ids.shape) == ((0, 4), (0,))


def test_a_part_of_an_object_is_no_object(tree: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2.6</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    part = f"<part><name>head</name>{box}</part>"
    (tree / "Annotations" / "none.xml").write_text(
        f"<annotation><object>{part}<name> green </name>{box}</object></annotation>"
    )
    dataset = VocDataset(tree, "val", CLASSES)
    boxes, class_ids = dataset.boxes(dataset.samples[2])
    assert (boxes.tolist(), class_ids.tolist()) == ([[0, 2, 9, 8]], [1])


def test_masks_are_read_to_the_pixel(tree: Path) -> None:
    dataset = VocDataset(tree, "val", CLASSES)
    masks, class_ids = dataset.instance_masks(dataset.samples[1])
    red, blue = draw_blobs(OVERLAPPING)[1]
    assert class_ids.tolist() == [0, 2]
    assert np.array_equal(masks, [red & ~blue, blue])
    assert np.array_equal(dataset.class_mask(dataset.samples[1]), np.where(blue, 3, np.where(red, 1, 0)))
    masks, class_ids = dataset.instance_masks(dataset.samples[2])
    assert (masks.shape, class_ids.shape) == ((0, 336, 448), (0,))


def test_void_belongs_to_no_instance_and_most_pixels_say_the_class(tmp_path: Path) -> None:
    tree = write_voc_tree(tmp_path, {"a": ()})
    classes, objects = np.zeros((2, 4, 6), np.uint8)
    classes[:, :3], classes[:, 3] = 2, 255
    classes[0, 0] = 1
    objects[:, :3], objects[:, 3] = 7, 255
    for folder, mask in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        cv2.imwrite(str(tree / folder / "a.png"), mask)
    dataset = VocDataset(tree, "val", CLASSES)
    masks, class_ids = dataset.instance_masks(dataset.samples[0])
    assert class_ids.tolist() == [1]
    assert np.array_equal(masks, [objects == 7])

    objects[:, 5] = 8
    cv2.imwrite(str(tree / "SegmentationObject" / "a.png"), objects)
    with pytest.raises(PrmError, match="an instance of a has no class"):
        dataset.instance_masks(dataset.samples[0])
    cv2.imwrite(str(tree / "SegmentationObject" / "a.png"), objects[:2])
    with pytest.raises(PrmError, match=r"masks of a differ in size: \(4, 6\), \(2, 6\)"):
        dataset.instance_masks(dataset.samples[0])


def write_palette_png(path: Path, indices: NDArray[np.uint8]) -> None:
    """A PNG whose pixels are indices into a palette of strange colours."""
    frame = av.VideoFrame(indices.shape[1], indices.shape[0], "pal8")
    rows = np.zeros((indices.shape[0], frame.planes[0].line_size), np.uint8)
    rows[:, : indices.shape[1]] = indices
    frame.planes[0].update(rows.tobytes())
    frame.planes[1].update(np.arange(1024, dtype=np.uint32).astype(np.uint8).tobytes())
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = indices.shape[1], indices.shape[0], "pal8"
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("shape", [(3, 5), (7, 64), (20, 33)])
def test_palette_pngs_give_indices_and_not_colours(shape: tuple[int, int], tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_palette_png(tmp_path / "mask.png", indices)
    assert np.array_equal(read_indexed_png(tmp_path / "mask.png"), indices)


def test_masks_that_are_no_indices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    with pytest.raises(PrmError, match=r"cannot read the mask .*mask\.png"):
        read_indexed_png(path)
    path.write_bytes(b"no picture")
    with pytest.raises(PrmError, match=r"cannot read the mask .*mask\.png"):
        read_indexed_png(path)
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(PrmError, match="should be a palette or grey PNG of 8 bits, found rgb24"):
        read_indexed_png(path)
