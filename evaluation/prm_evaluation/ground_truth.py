"""Opening a data set so that its class ids are those of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prm_evaluation.datasets import VOC_CLASSES, Sample, VocDataset, open_voc
from prm_runtime.console import PrmError

OFFICIAL_VAL_PICTURES = 1449  # VOC 2012, ImageSets/Segmentation/val.txt


def open_ground_truth(root: Path, split: str, classes: tuple[str, ...]) -> VocDataset:
    """Open a VOC tree with instance masks for a bundle with ``classes``.

    The indices of ``SegmentationClass`` are 1 + class id. For the 20 classes of VOC these are fixed; a tree
    of anything else is read with the bundle's classes in the bundle's order.

    Raises:
        PrmError: If there is no such tree or split, it is empty, or it holds classes that the bundle lacks.
    """
    dataset = open_voc(root, split)
    found = {label for sample in dataset.samples for label in sample.labels}
    if not found:
        raise PrmError(f"split '{split}' of {root} holds no objects: there is nothing to measure")
    unknown = sorted(found - set(classes))
    is_voc = found <= set(dataset.classes)
    if unknown or (is_voc and classes != dataset.classes):
        raise PrmError(
            f"{root} holds objects of {', '.join(unknown[:5]) or 'the 20 VOC classes'}, the bundle knows "
            f"{len(classes)} classes ({', '.join(classes[:5])}, …); measure it on data of the same classes"
        )
    return dataset if is_voc else VocDataset(dataset.root, split, classes, segmentation_first=True)


def first_samples(dataset: VocDataset, limit: int | None) -> Sequence[Sample]:
    """The first ``limit`` pictures, or all."""
    return dataset.samples if limit is None else dataset.samples[:limit]


def protocol(dataset: VocDataset, split: str, pictures: int, masks_note: str) -> str:
    """One line that says what figures were measured on.

    Example:
        ``"voc2012 val subset, 754 pictures, derived instance masks"``
    """
    voc_val = dataset.classes == VOC_CLASSES and split == "val"
    whole = pictures == (OFFICIAL_VAL_PICTURES if voc_val else len(dataset.samples))
    part = split if whole else f"{split} subset"
    return f"{dataset.root.resolve().name} {part}, {pictures} pictures, {masks_note}"
