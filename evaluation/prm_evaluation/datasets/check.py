"""Everything that is wrong with a data set, in one message, before hours are spent on it."""

from __future__ import annotations

from pathlib import Path

import cv2

from prm_evaluation.datasets.sample import Dataset
from prm_runtime.console import PrmError

LISTED = 5


def check_dataset(dataset: Dataset, *, every_class: bool = True) -> None:
    """Check that all pictures can be read and that labels and classes fit each other.

    Args:
        dataset: The data set; each picture is decoded once, at an eighth of its size.
        every_class: Whether each class needs a picture, as training does.

    Raises:
        PrmError: Naming the missing pictures, unreadable files, unknown classes and empty classes.
    """
    missing = [str(sample.image_path) for sample in dataset.samples if not sample.image_path.is_file()]
    present = (sample.image_path for sample in dataset.samples if sample.image_path.is_file())
    found = frozenset[str]().union(*(sample.labels for sample in dataset.samples))
    findings = {
        "no pictures": [] if dataset.samples else ["the split is empty"],
        "no classes": [] if dataset.classes else ["no picture has a label"],
        "missing pictures": missing,
        "unreadable files": [str(path) for path in present if not _is_readable(path)],
        "unknown classes": sorted(found - set(dataset.classes)),
        "classes without a picture": sorted(set(dataset.classes) - found) if every_class else [],
    }
    problems = [f"{len(names)} {kind}: {_shortened(names)}" for kind, names in findings.items() if names]
    if problems:
        raise PrmError("the data set cannot be used as it is: " + "; ".join(problems))


def _is_readable(path: Path) -> bool:
    try:
        return cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None
    except cv2.error:  # the header claims more pixels than OpenCV reads
        return False


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
