"""YOLO segmentation data sets, as Ultralytics trains on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prm_runtime.instances import Instances
from prm_runtime.polygons import join_rings, mask_polygons
from prm_runtime.sinks.base import Result
from prm_runtime.sinks.files import make_folder, replace_file
from prm_runtime.sinks.pictures import FrameNames, write_picture


class YoloDataset:
    """``images/train/NAME.jpg``, ``labels/train/NAME.txt`` and ``data.yaml``.

    A line of a label file is one instance: its class id, then the corners of its outline as shares of the
    picture's width and height. The format has one outline per instance: parts are joined, and holes cut open,
    by lines of no width.
    """

    def __init__(self, folder: str, classes: Sequence[str]) -> None:
        """Make the folders and ``data.yaml``.

        Raises:
            SinkError: If they cannot be made.
        """
        root = Path(folder)
        self._images = make_folder(root / "images" / "train")
        self._labels = make_folder(root / "labels" / "train")
        names = "".join(f"  {n}: {json.dumps(name, ensure_ascii=False)}\n" for n, name in enumerate(classes))
        # Training asks for a val; which pictures to hold back, and to correct by hand, is the user's choice.
        text = f"train: images/train\nval: images/train\nnames:\n{names}"
        replace_file(root / "data.yaml", text.encode())
        self._names = FrameNames()

    def __str__(self) -> str:
        """What people call it."""
        return str(self._labels)

    def write(self, result: Result) -> None:
        """Write a picture and its labels."""
        with result.times.stage("write"):
            name = self._names.name(result.frame)
            write_picture(self._images / f"{name}.jpg", result.frame.image)
            replace_file(self._labels / f"{name}.txt", yolo_lines(result.instances).encode())

    def close(self) -> None:
        """Nothing is open between pictures."""


def yolo_lines(instances: Instances) -> str:
    """The label file of one picture; empty where nothing was found, which YOLO takes as background."""
    height, width = instances.masks.shape[1:]
    lines = []
    for class_id, mask in zip(instances.class_ids, instances.masks, strict=True):
        if polygons := mask_polygons(mask):
            lines.append(f"{class_id} {_numbers(join_rings(polygons) / (width, height))}\n")
    return "".join(lines)


def _numbers(outline: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.6f}" for value in outline.ravel())
