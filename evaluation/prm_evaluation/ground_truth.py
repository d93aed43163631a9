"""Opening a data set so that its class ids are those of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prm_evaluation.datasets import (
    VOC_CLASSES,
    CocoDataset,
    GroundTruthDataset,
    Sample,
    VocDataset,
    find_voc_tree,
    is_coco,
    open_voc,
)
from prm_evaluation.datasets.sample import VOID
from prm_runtime.console import PrmError

OFFICIAL_VOC_PICTURES = {"val": 1449}  # VOC 2012, ImageSets/Segmentation
OFFICIAL_COCO_PICTURES = {"train2017": 118287, "val2017": 5000}
COCO_CLASSES = 80


def open_ground_truth(root: Path, split: str, classes: tuple[str, ...]) -> GroundTruthDataset:
    """Open a VOC tree or a COCO data set with instance masks for a bundle with ``classes``.

    The indices of ``SegmentationClass`` are 1 + class id. For the 20 classes of VOC these are fixed; a tree
    of anything else is read with the bundle's classes in the bundle's order. COCO names its categories, so
    that any order will do.

    Raises:
        PrmError: If there is no such data set or split, it is empty, it holds classes that the bundle lacks,
            or the bundle has more classes than a class mask of 8 bits can tell apart.
    """
    if len(classes) >= VOID:
        raise PrmError(f"masks of up to {VOID - 1} classes can be measured, the bundle knows {len(classes)}")
    dataset = _open(root, split, classes)
    found = {label for sample in dataset.samples for label in sample.labels}
    if not found:
        raise PrmError(f"split '{split}' of {root} holds no objects: there is nothing to measure")
    unknown = sorted(found - set(classes))
    is_voc = isinstance(dataset, VocDataset) and found <= set(VOC_CLASSES)
    if unknown or (is_voc and classes != VOC_CLASSES):
        raise PrmError(
            f"{root} holds objects of {', '.join(unknown[:5]) or 'the 20 VOC classes'}, the bundle knows "
            f"{len(classes)} classes ({', '.join(classes[:5])}, …); measure it on data of the same classes"
        )
    if isinstance(dataset, VocDataset) and not is_voc:
        return VocDataset(dataset.root, split, classes, segmentation_first=True)
    return dataset


def first_samples(dataset: GroundTruthDataset, limit: int | None) -> Sequence[Sample]:
    """The first ``limit`` pictures, or all.

    Raises:
        PrmError: If some of them have no file.
    """
    samples = dataset.samples if limit is None else dataset.samples[:limit]
    missing = [str(sample.image_path) for sample in samples if not sample.image_path.is_file()]
    if missing:
        raise PrmError(
            f"{len(missing)} of {len(samples)} pictures are listed but have no file: {', '.join(missing[:5])}"
            f"{', …' if len(missing) > 5 else ''}; add them, or measure what is there with a list of its own"
        )
    return samples


def protocol(dataset: GroundTruthDataset, split: str, pictures: int, masks_note: str | None = None) -> str:
    """One line that says what figures were measured on.

    Args:
        dataset: The data set.
        split: Its split.
        pictures: How many of its pictures were measured.
        masks_note: What to say about the masks; where they come from if None.

    Example:
        ``"voc2012 val subset, 754 pictures, derived instance masks"``
    """
    whole = pictures == _official_pictures(dataset).get(split, len(dataset.samples))
    part = split if whole else f"{split} subset"
    return (
        f"{dataset.root.resolve().name} {part}, {pictures} pictures, "
        f"{dataset.masks_origin if masks_note is None else masks_note}"
    )


def _open(root: Path, split: str, classes: tuple[str, ...]) -> GroundTruthDataset:
    if is_coco(root):
        return CocoDataset(root, split, classes)
    if find_voc_tree(root) is None:
        raise PrmError(
            f"{root} has no masks to measure by: give a VOC tree (a folder with ImageSets and "
            "SegmentationObject) or a COCO data set (with annotations/instances_*.json)"
        )
    return open_voc(root, split)


def _official_pictures(dataset: GroundTruthDataset) -> dict[str, int]:
    if isinstance(dataset, CocoDataset):
        return OFFICIAL_COCO_PICTURES if len(dataset.classes) == COCO_CLASSES else {}
    return OFFICIAL_VOC_PICTURES if dataset.classes == VOC_CLASSES else {}
