"""COCO's instances files: JSON in, checked pictures, categories and annotations out."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from prm_runtime.console import PrmError

LISTED = 5


@dataclass(frozen=True, slots=True)
class Category:
    """A class; ids need not be consecutive."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture; ``height`` and ``width`` in pixels."""

    id: int
    file_name: str
    height: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class Annotation:
    """An object, or a crowd of objects that nobody told apart.

    Attributes:
        id: Its number in the file.
        image_id: Its picture.
        category_id: Its class.
        bbox: x, y, width and height in pixels.
        segmentation: Polygons ``[[x, y, x, y, …], …]``, packed as arrays of float64, or RLE
            ``{"size": [h, w], "counts": …}``.
        iscrowd: 1 for a crowd.
        area: Pixels, as the file states them; None where it does not.
    """

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    segmentation: Any = field(repr=False)
    iscrowd: int = 0
    area: float | None = None


@dataclass(frozen=True, slots=True)
class InstancesFile:
    """The parts of an instances file that are read."""

    images: list[Picture]
    categories: list[Category]
    annotations: list[Annotation]


def instances_path(root: Path, split: str) -> Path:
    """Where the annotations of a split lie."""
    return root / "annotations" / f"instances_{split}.json"


def splits(root: Path) -> list[str]:
    """The splits that a folder has instances files for; none if it is no COCO data set."""
    prefix = "instances_"
    return sorted(path.stem.removeprefix(prefix) for path in (root / "annotations").glob(f"{prefix}*.json"))


def read_instances(path: Path) -> InstancesFile:
    """Read an instances file and check that its parts fit each other.

    Raises:
        PrmError: If it cannot be read, is no instances file, annotates nothing, repeats an id or a class
            name, or annotates pictures or categories that it does not list.
    """
    try:
        content = json.loads(path.read_bytes(), object_hook=_with_packed_polygons)
        file = TypeAdapter(InstancesFile).validate_python(content)
    except OSError as error:
        raise PrmError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top"
        raise PrmError(
            f"{path} is no COCO instances file, wrong at {where}: {first['msg']}; expected 'images', "
            "'categories' and 'annotations' with boxes and segmentations"
        ) from error
    except ValueError as error:
        raise PrmError(f"{path} is no JSON, fetch or write it again: {error}") from error
    if not file.annotations:
        raise PrmError(f"{path} annotates no object in {len(file.images)} pictures: use a file that does")
    _check_unique(path, "images with id", [picture.id for picture in file.images])
    _check_unique(path, "categories with id", [category.id for category in file.categories])
    _check_unique(path, "categories named", [category.name for category in file.categories])
    pictures, categories = {item.id for item in file.images}, {item.id for item in file.categories}
    _check_known(path, "category_id", "categories", (a.category_id for a in file.annotations), categories)
    _check_known(path, "image_id", "images", (a.image_id for a in file.annotations), pictures)
    return file


def _with_packed_polygons(item: dict[str, Any]) -> dict[str, Any]:
    # train2017 has some 40 million coordinates, which as Python's numbers take gigabytes
    polygons = item.get("segmentation")
    if isinstance(polygons, list):
        with suppress(TypeError):  # no numbers: drawing them will say so
            item["segmentation"] = [array("d", polygon) for polygon in polygons]
    return item


def _check_unique(path: Path, what: str, values: Collection[int | str]) -> None:
    seen: set[int | str] = set()
    for value in values:
        if value in seen:
            raise PrmError(f"{path} has several {what} {value}: expected one; remove the others")
        seen.add(value)


def _check_known(path: Path, key: str, listing: str, values: Iterable[int], known: Collection[int]) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        names = ", ".join(map(str, unknown[:LISTED])) + (", …" if len(unknown) > LISTED else "")
        raise PrmError(
            f"{path} has annotations of {key} {names}, which its '{listing}' do not list: add them there, or"
            " remove the annotations"
        )
