"""COCO: image labels, boxes and masks out of ``annotations/instances_<split>.json``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from prm_evaluation.datasets.coco_file import Annotation, Picture, instances_path, read_instances, splits
from prm_evaluation.datasets.sample import VOID, ImageLabels, Objects, Sample
from prm_runtime.console import PrmError


def is_coco(root: Path) -> bool:
    """Whether a folder holds COCO's ``annotations/instances_*.json``."""
    return bool(splits(root))


class CocoDataset:
    """One split of a COCO data set.

    Class ids are positions in the file's list of categories: COCO's category ids, 1 to 90 with holes, become
    0 to 79. A sample's id is ``<split>-<image id>``.

    A crowd (``iscrowd``) is a region of many objects that nobody told apart. It counts as a label and as a
    box, since the class is there; it is void in the class mask, no instance, and a crowd in :meth:`objects`,
    where COCO's AP ignores it.

    Args:
        root: Folder that holds ``annotations`` and the pictures, in ``<split>`` or ``images/<split>``.
        split: ``instances_<split>.json``, such as "val2017".
        classes: Class names by class id; the file's categories in their order if None.

    Raises:
        PrmError: If the annotations or the folder of pictures are missing, or the file is damaged (see
            :func:`prm_evaluation.datasets.coco_file.read_instances`).
    """

    def __init__(self, root: Path, split: str, classes: tuple[str, ...] | None = None) -> None:
        path = instances_path(root, split)
        if not path.is_file():
            known = ", ".join(splits(root)) or "none"
            raise PrmError(f"{root} has no annotations/{path.name}: of its splits ({known}) choose one")
        self.root = root
        self.masks_origin = f"instance masks of {path.name}"
        file = read_instances(path)
        self._names = {category.id: category.name for category in file.categories}
        self.classes = classes or tuple(self._names.values())
        self._annotations: defaultdict[int, list[Annotation]] = defaultdict(list)
        for annotation in file.annotations:
            self._annotations[annotation.image_id].append(annotation)
        self._pictures = {f"{split}-{picture.id}": picture for picture in file.images}
        folder = _picture_folder(root, split)
        self.samples: Sequence[Sample] = tuple(
            Sample(sample_id, folder / picture.file_name, self._labels(picture))
            for sample_id, picture in self._pictures.items()
        )

    def image_labels(self) -> ImageLabels:
        """Pictures and labels alone, without the polygons, which take a gigabyte for train2017."""
        return ImageLabels(self.classes, self.samples)

    def boxes(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Boxes of the objects and crowds in a picture.

        Returns:
            Boxes int64 [n, 4] in pixels, rounded outwards: x0, y0 inclusive, x1, y1 exclusive, from 0; and
            class ids int64 [n].
        """
        annotations = self._annotations[self._pictures[sample.id].id]
        boxes = np.array([_corners(annotation.bbox) for annotation in annotations], np.int64)
        return boxes.reshape(-1, 4), self._class_ids(annotations)

    def class_mask(self, sample: Sample) -> NDArray[np.uint8]:
        """The class of each pixel, uint8 [h, w]: 0 background, 1 + class id, 255 void.

        Void are crowds outside of objects, and pixels of two objects of different classes, since the file
        does not say which one is in front.

        Raises:
            PrmError: If a segmentation is damaged.
        """
        objects = self.objects(sample)
        classes = np.zeros(objects.masks.shape[1:], np.uint8)
        told_apart = ~objects.crowd
        for mask, class_id in zip(objects.masks[told_apart], objects.class_ids[told_apart], strict=True):
            taken = (classes != 0) & (classes != 1 + class_id)
            classes[mask] = np.where(taken[mask], VOID, 1 + class_id)
        classes[objects.masks[objects.crowd].any(axis=0) & (classes == 0)] = VOID
        return classes

    def instance_masks(self, sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Masks of the objects in a picture, crowds left out.

        Returns:
            Masks bool [n, h, w], which may overlap, and class ids int64 [n].

        Raises:
            PrmError: If a segmentation is damaged.
        """
        objects = self.objects(sample)
        return objects.masks[~objects.crowd], objects.class_ids[~objects.crowd]

    def objects(self, sample: Sample) -> Objects:
        """The objects and crowds of a picture, in the order of the file.

        Raises:
            PrmError: If a segmentation is damaged.
        """
        picture = self._pictures[sample.id]
        annotations = self._annotations[picture.id]
        masks = np.array([_decode(annotation, picture) for annotation in annotations], bool)
        masks = masks.reshape(-1, picture.height, picture.width)
        areas = [
            mask.sum() if annotation.area is None else annotation.area
            for annotation, mask in zip(annotations, masks, strict=True)
        ]
        crowd = np.array([annotation.iscrowd != 0 for annotation in annotations], bool)
        return Objects(masks, self._class_ids(annotations), np.array(areas, np.float64), crowd)

    def _labels(self, picture: Picture) -> frozenset[str]:
        annotations = self._annotations.get(picture.id, ())
        return frozenset(self._names[annotation.category_id] for annotation in annotations)

    def _class_ids(self, annotations: Sequence[Annotation]) -> NDArray[np.int64]:
        names = [self._names[annotation.category_id] for annotation in annotations]
        return np.array([self.classes.index(name) for name in names], np.int64)


def _picture_folder(root: Path, split: str) -> Path:
    folders = (root / split, root / "images" / split)
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise PrmError(f"{root} has no pictures of split '{split}': put them into {split} or images/{split}")
    return folder


def _corners(bbox: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    x, y, width, height = bbox
    return math.floor(x), math.floor(y), math.ceil(x + width), math.ceil(y + height)


def _decode(annotation: Annotation, picture: Picture) -> NDArray[np.bool_]:
    segmentation, size = annotation.segmentation, (picture.height, picture.width)
    try:
        if isinstance(segmentation, list):
            encoded = rle.merge(rle.frPyObjects(segmentation, *size))
        elif isinstance(segmentation["counts"], list):
            pixels = sum(segmentation["counts"])
            if pixels != math.prod(size):  # pycocotools would fill up with whatever is in memory
                raise ValueError(f"runs of {pixels} pixels on a picture of {math.prod(size)}")
            encoded = rle.frPyObjects(segmentation, *size)
        else:
            encoded = segmentation
        mask = np.asarray(rle.decode(encoded), bool)
        if mask.shape != size:
            raise ValueError(f"a mask of {mask.shape} (height, width) on a picture of {size}")
    except Exception as error:  # pycocotools raises bare ones
        raise PrmError(
            f"the segmentation of annotation {annotation.id} is neither polygons nor RLE that fit "
            f"{picture.file_name}, mend or remove it: {error}"
        ) from error
    return mask
