"""labelme: a JSON file beside each picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prm_runtime.polygons import mask_polygons
from prm_runtime.sinks.base import Result
from prm_runtime.sinks.files import make_folder, replace_file
from prm_runtime.sinks.pictures import FrameNames, write_picture

VERSION = "5.0.1"  # the format's: from here on shapes have a description


class LabelmeFolder:
    """``NAME.jpg`` and ``NAME.json``; labelme opens the folder.

    A part of an instance is a polygon, and the parts of one instance have one ``group_id``.
    """

    def __init__(self, folder: str) -> None:
        """Make the folder.

        Raises:
            SinkError: If it cannot be made.
        """
        self._folder = make_folder(Path(folder))
        self._names = FrameNames()

    def __str__(self) -> str:
        """What people call it."""
        return str(self._folder)

    def write(self, result: Result) -> None:
        """Write a picture, then its labels."""
        with result.times.stage("write"):
            name = self._names.name(result.frame)
            write_picture(self._folder / f"{name}.jpg", result.frame.image)
            content = json.dumps(labelme_record(result, f"{name}.jpg"), ensure_ascii=False, indent=1)
            replace_file(self._folder / f"{name}.json", content.encode())

    def close(self) -> None:
        """Nothing is open between pictures."""


def labelme_record(result: Result, file_name: str) -> dict[str, Any]:
    """What labelme's file of one picture holds."""
    instances = result.instances
    height, width = instances.masks.shape[1:]
    shapes = []
    for n, label in enumerate(instances.labels):
        description = f"score {instances.scores[n]:.2f}"
        if (track := instances.track_id(n)) is not None:
            description += f", track {track}"
        shape = {
            "label": label,
            "group_id": n,
            "description": description,
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        shapes += [{**shape, "points": ring.tolist()} for ring in mask_polygons(instances.masks[n])]
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": file_name,
        "imageData": None,  # labelme reads the picture beside it
        "imageHeight": height,
        "imageWidth": width,
    }
