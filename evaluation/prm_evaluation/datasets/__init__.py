"""Readers of data sets: VOC trees, COCO, and folders of pictures with a table of labels."""

from __future__ import annotations

from pathlib import Path

from prm_evaluation.datasets.check import check_dataset
from prm_evaluation.datasets.coco import CocoDataset, is_coco
from prm_evaluation.datasets.folder import FolderDataset
from prm_evaluation.datasets.sample import Dataset, GroundTruthDataset, ImageLabels, Objects, Sample
from prm_evaluation.datasets.voc import VOC_CLASSES, VocDataset
from prm_runtime.console import PrmError

__all__ = [
    "VOC_CLASSES",
    "CocoDataset",
    "Dataset",
    "FolderDataset",
    "GroundTruthDataset",
    "ImageLabels",
    "Objects",
    "Sample",
    "VocDataset",
    "check_dataset",
    "find_voc_tree",
    "is_coco",
    "open_dataset",
    "open_voc",
]


def open_dataset(root: Path, split: str, classes: tuple[str, ...] | None = None) -> Dataset:
    """Open a split of a VOC tree (or of the folder above it), of COCO, or of a folder with ``labels.csv``.

    Args:
        root: ``VOC2012``, ``VOCdevkit``, a folder with ``annotations/instances_<split>.json``, or a folder
            of pictures.
        split: For a VOC tree a file of ``ImageSets``; for COCO a file of ``annotations``, such as
            "train2017"; for a folder the table ``<split>.csv``, or ``labels.csv`` for "train".
        classes: Class names by class id, instead of the 20 of VOC, the categories of COCO's file or all
            labels of the folder's table.

    Raises:
        PrmError: If there is no such folder or split.
    """
    if is_coco(root):
        return CocoDataset(root, split, classes).image_labels()
    tree = find_voc_tree(root)
    return VocDataset(tree, split, classes) if tree else FolderDataset(root, split, classes)


def open_voc(root: Path, split: str) -> VocDataset:
    """Open a split of a VOC tree for evaluation: ``ImageSets/Segmentation`` wins over ``ImageSets/Main``.

    Raises:
        PrmError: If there is no VOC tree or split.
    """
    tree = find_voc_tree(root)
    if tree is None:
        raise PrmError(f"{root} is no VOC tree: give the folder that holds ImageSets and SegmentationObject")
    return VocDataset(tree, split, segmentation_first=True)


def find_voc_tree(root: Path) -> Path | None:
    """The VOC tree that a folder is or holds, if any.

    Raises:
        PrmError: If there is no such folder.
    """
    if not root.is_dir():
        raise PrmError(f"data folder {root} does not exist")
    candidates = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    return next((tree for tree in candidates if (tree / "ImageSets").is_dir()), None)
