"""COCO: results for evaluation, and data sets of pseudo-labels for annotation tools and training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from prm_runtime.conversions import coco_annotations
from prm_runtime.errors import PrmError
from prm_runtime.polygons import mask_polygons
from prm_runtime.sinks.base import Result, SinkError
from prm_runtime.sinks.files import make_folder
from prm_runtime.sinks.journal import Journal, Record
from prm_runtime.sinks.pictures import FrameNames, write_picture

SUBSET = "default"  # what CVAT calls pictures that belong to no subset
DATASET, RESULTS = "coco-dataset", "coco-results"


class CocoDataset:
    """A COCO data set: ``images/default/NAME.jpg`` and ``annotations/instances_default.json``.

    Masks are polygons, which every tool can edit; ``score`` and ``track_id`` are further keys of an
    annotation. The annotations are written when the sink is closed, until then they are in a journal.
    """

    def __init__(self, folder: str, classes: Sequence[str]) -> None:
        """Make the folders.

        Raises:
            SinkError: If they cannot be made, or hold the journal of another run.
        """
        self._images = make_folder(Path(folder) / "images" / SUBSET)
        target = Path(folder) / "annotations" / f"instances_{SUBSET}.json"
        categories = [{"id": n, "name": name, "supercategory": ""} for n, name in enumerate(classes, 1)]
        self._journal = Journal(target, {"kind": DATASET, "categories": categories})
        self._names = FrameNames()
        self._count = 0

    def __str__(self) -> str:
        """What people call it."""
        return str(self._journal.target)

    def write(self, result: Result) -> None:
        """Write the picture, then its record."""
        frame, instances = result.frame, result.instances
        with result.times.stage("write"):
            self._count += 1
            file_name = f"{self._names.name(frame)}.jpg"
            write_picture(self._images / file_name, frame.image)
            annotations = coco_annotations(instances, self._count)
            for annotation, mask in zip(annotations, instances.masks, strict=True):
                annotation["segmentation"] = [ring.ravel().tolist() for ring in mask_polygons(mask)]
            height, width = frame.image.shape[:2]
            image = {"id": self._count, "file_name": file_name, "height": height, "width": width}
            image |= {"source": frame.source, "frame": frame.index, "time_s": frame.time_s}
            self._journal.append({"image": image, "annotations": annotations})

    def close(self) -> None:
        """Write the annotations.

        Raises:
            SinkError: If they cannot be written; the journal stays.
        """
        self._journal.close(assemble_dataset)


class CocoResults:
    """COCO results: a list of ``{"image_id", "category_id", "bbox", "segmentation", "score"}``, masks as RLE.

    Without ``ids`` pictures are numbered from 1 in their order, and classes from 1 in theirs; each entry has
    its ``file_name`` as a further key.
    """

    def __init__(self, path: str, classes: Sequence[str], ids: CocoIds | None = None) -> None:
        """Begin the file.

        Args:
            path: The JSON file.
            classes: Names of the classes.
            ids: The numbers of pictures and categories in the annotations that the results are compared to.

        Raises:
            SinkError: If it cannot be written, or holds the journal of another run.
            PrmError: If ``ids`` lack a class.
        """
        self._categories = None if ids is None else ids.category_ids(classes)
        self._ids = ids
        self._journal = Journal(Path(path), {"kind": RESULTS})
        self._count = 0

    def __str__(self) -> str:
        """What people call it."""
        return str(self._journal.target)

    def write(self, result: Result) -> None:
        """Write the instances of one frame.

        Raises:
            SinkError: If the picture has no number.
        """
        with result.times.stage("write"):
            self._count += 1
            name = Path(result.frame.source).name
            image_id = self._count if self._ids is None else self._ids.image_id(name)
            entries = coco_annotations(result.instances, image_id, self._categories)
            self._journal.append({"results": [{**entry, "file_name": name} for entry in entries]})

    def close(self) -> None:
        """Write the list.

        Raises:
            SinkError: If it cannot be written; the journal stays.
        """
        self._journal.close(assemble_results)


class CocoIds:
    """The numbers that an instances file of COCO gives pictures and classes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            PrmError: If it is no such file.
        """
        self._path = path
        try:
            content = json.loads(path.read_bytes())
            self._images: Mapping[str, int] = {
                Path(image["file_name"]).name: int(image["id"]) for image in content["images"]
            }
            self._names: Mapping[str, int] = {c["name"]: int(c["id"]) for c in content["categories"]}
        except OSError as error:
            raise PrmError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise PrmError(
                f"{path}: expected COCO annotations with 'images' and 'categories', got: {error!r}"
            ) from None

    def image_id(self, file_name: str) -> int:
        """The number of a picture.

        Raises:
            SinkError: If there is none.
        """
        if file_name not in self._images:
            raise SinkError(f"{self._path} lists no picture {file_name}; give the file of these pictures")
        return self._images[file_name]

    def category_ids(self, classes: Sequence[str]) -> list[int]:
        """The category of each class.

        Raises:
            PrmError: If a class has none.
        """
        missing = [name for name in classes if name not in self._names]
        if missing:
            raise PrmError(f"{self._path} has no category {missing[0]!r}; it has {', '.join(self._names)}")
        return [self._names[name] for name in classes]


def assemble_dataset(header: Record, frames: Callable[[], Iterator[Record]], file: TextIO) -> None:
    """Write the instances file of a journal of :class:`CocoDataset`."""
    start = {"info": {"description": "pseudo-labels by prm-edge"}, "licenses": []}
    file.write(json.dumps(start)[:-1] + f', "categories": {json.dumps(header["categories"])}')
    file.write(', "images": ')
    _write_list((frame["image"] for frame in frames()), file)
    file.write(', "annotations": ')
    annotations = (annotation for frame in frames() for annotation in frame["annotations"])
    _write_list(({"id": n, **annotation} for n, annotation in enumerate(annotations, 1)), file)
    file.write("}\n")


def assemble_results(_: Record, frames: Callable[[], Iterator[Record]], file: TextIO) -> None:
    """Write the results file of a journal of :class:`CocoResults`."""
    _write_list((entry for frame in frames() for entry in frame["results"]), file)


ASSEMBLIES = {DATASET: assemble_dataset, RESULTS: assemble_results}


def _write_list(items: Iterator[dict[str, Any]], file: TextIO) -> None:
    """A JSON list, item by item: a whole video does not have to fit in memory."""
    file.write("[")
    for n, item in enumerate(items):
        file.write(("," if n else "") + "\n" + json.dumps(item, ensure_ascii=False, separators=(",", ":")))
    file.write("\n]")
