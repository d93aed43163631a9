"""PASCAL VOC trees: image labels and boxes out of Annotations, masks out of Segmentation{Class,Object}."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, parse

import av
import numpy as np
from numpy.typing import NDArray

from prm_evaluation.datasets.sample import VOID, Objects, Sample
from prm_runtime.console import PrmError

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


class VocDataset:
    """One split of a VOC tree.

    Args:
        root: Folder that holds ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: Name of a file in ``ImageSets/Main`` or ``ImageSets/Segmentation``.
        classes: Class names by class id; the 20 of VOC if None.
        segmentation_first: Which of the two folders to look into first.

    Raises:
        PrmError: If there is no such split.
    """

    masks_origin = "instance masks of SegmentationObject"

    def __init__(
        self,
        root: Path,
        split: str,
        classes: tuple[str, ...] | None = None,
        *,
        segmentation_first: bool = False,
    ) -> None:
        self.root = root
        self.classes = classes or VOC_CLASSES
        folders = ("Segmentation", "Main") if segmentation_first else ("Main", "Segmentation")
        candidates = [root / "ImageSets" / folder / f"{split}.txt" for folder in folders]
        self._split_file = next((path for path in candidates if path.is_file()), None)
        if self._split_file is None:
            known = sorted({path.stem for path in (root / "ImageSets").glob("*/*.txt")})
            raise PrmError(f"{root} has no split '{split}': it has {', '.join(known) or 'none'}")

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The pictures of the split, in the order of its file; labels are the names in the annotations.

        Raises:
            PrmError: If annotations are missing or damaged.
        """
        assert self._split_file is not None  # noqa: S101 - the constructor has raised
        ids = [line.split()[0] for line in self._split_file.read_text().splitlines() if line.strip()]
        samples, damaged = [], []
        for image_id in ids:
            try:
                labels = frozenset(name for name, _ in self._objects(image_id))
            except (OSError, ParseError, ValueError):
                damaged.append(f"{image_id}.xml")
                continue
            samples.append(Sample(image_id, self.root / "JPEGImages" / f"{image_id}.jpg", labels))
        if damaged:
            raise PrmError(
                f"{len(damaged)} of {len(ids)} annotations in {self.root / 'Annotations'} are missing or"
                f" damaged: {', '.join(damaged[:5])}{', …' if len(damaged) > 5 else ''}"
            )
        return tuple(samples)

    def boxes(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Boxes of the objects in a picture.

        Returns:
            Boxes int64 [n, 4] in pixels: x0, y0 inclusive, x1, y1 exclusive, from 0; and class ids int64 [n].
        """
        objects = self._objects(sample.id)
        boxes = np.array([box for _, box in objects], np.int64).reshape(-1, 4)
        return boxes, np.array([self.classes.index(name) for name, _ in objects], np.int64)

    def class_mask(self, sample: Sample) -> NDArray[np.uint8]:
        """The class of each pixel, uint8 [h, w]: 0 background, 1 + class id, 255 void."""
        return read_indexed_png(self.root / "SegmentationClass" / f"{sample.id}.png")

    def instance_masks(self, sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Masks of the objects in a picture.

        Returns:
            Masks bool [n, h, w], and class ids int64 [n]: the class most of an instance's pixels have.

        Raises:
            PrmError: If an instance lies outside every class.
        """
        classes = self.class_mask(sample)
        objects = read_indexed_png(self.root / "SegmentationObject" / f"{sample.id}.png")
        if objects.shape != classes.shape:
            raise PrmError(
                f"class and instance masks of {sample.id} differ in size: {classes.shape}, {objects.shape}"
            )
        indices = [index for index in np.unique(objects) if index not in (0, VOID)]
        masks = np.array([objects == index for index in indices], bool).reshape(-1, *objects.shape)
        class_ids = []
        for mask in masks:
            inside = classes[mask]
            labelled = inside[(inside != 0) & (inside != VOID)]
            if labelled.size == 0:
                raise PrmError(
                    f"an instance of {sample.id} has no class: SegmentationClass is 0 or void under it"
                )
            class_ids.append(int(np.bincount(labelled).argmax()) - 1)
        return masks, np.array(class_ids, np.int64)

    def objects(self, sample: Sample) -> Objects:
        """The objects of a picture; VOC marks no crowds.

        Raises:
            PrmError: If an instance lies outside every class.
        """
        masks, class_ids = self.instance_masks(sample)
        areas = masks.sum(axis=(1, 2), dtype=np.float64)
        return Objects(masks, class_ids, areas, np.zeros(len(masks), bool))

    def _objects(self, image_id: str) -> list[tuple[str, tuple[int, int, int, int]]]:
        root = parse(self.root / "Annotations" / f"{image_id}.xml").getroot()  # noqa: S314 - expat fetches nothing
        return [(_text(item, "name"), _box(item)) for item in root.iter("object")]


def read_indexed_png(path: Path) -> NDArray[np.uint8]:
    """Read a palette (or grey) PNG as palette indices, uint8 [h, w].

    OpenCV would hand out the palette's colours instead.

    Raises:
        PrmError: If the file is missing or has no 8-bit indices.
    """
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
    except (OSError, StopIteration, av.FFmpegError) as error:
        raise PrmError(f"cannot read the mask {path}: {error}") from error
    if frame.format.name not in ("pal8", "gray"):
        raise PrmError(f"{path} should be a palette or grey PNG of 8 bits, found {frame.format.name}")
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(frame.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : frame.width])


def _text(item: Element, tag: str) -> str:
    text = item.findtext(tag)
    if not text:
        raise ValueError(f"no <{tag}>")
    return text.strip()


def _box(item: Element) -> tuple[int, int, int, int]:
    # VOC counts pixels from 1 and includes the last one
    x0, y0, x1, y1 = (round(float(_text(item, f"bndbox/{tag}"))) for tag in ("xmin", "ymin", "xmax", "ymax"))
    return x0 - 1, y0 - 1, x1, y1
