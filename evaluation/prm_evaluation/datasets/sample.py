"""What every data set is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""Of a class mask: pixels that do not count."""


@dataclass(frozen=True)
class Sample:
    """A picture and its image-level labels.

    Attributes:
        id: Name of the picture, unique in its data set.
        image_path: Where the picture lies; it need not exist before ``check_dataset`` has said so.
        labels: Names of the classes in the picture; may name classes that the data set does not know.
    """

    id: str
    image_path: Path
    labels: frozenset[str]


class Dataset(Protocol):
    """Pictures with image-level labels; ``classes[i]`` is the name of class id ``i``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""

    @property
    def samples(self) -> Sequence[Sample]:
        """The pictures of the split."""


@dataclass(frozen=True)
class ImageLabels:
    """Pictures and labels alone, without what else a data set keeps in memory."""

    classes: tuple[str, ...]
    samples: Sequence[Sample]


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a picture.

    Attributes:
        masks: bool [n, h, w].
        class_ids: int64 [n].
        areas: float64 [n], pixels as the data set states them; what is small, medium or large goes by them.
        crowd: bool [n], whether it is a region of many objects that nobody told apart.
    """

    masks: NDArray[np.bool_]
    class_ids: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]


class GroundTruthDataset(Dataset, Protocol):
    """A data set that also knows where in its pictures the objects are."""

    @property
    def root(self) -> Path:
        """Its folder."""

    @property
    def masks_origin(self) -> str:
        """What its masks are read from, in words for beside the figures."""

    def boxes(self, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Boxes of all that the picture's labels stand for, crowds included.

        Returns:
            Boxes int64 [n, 4] in pixels: x0, y0 inclusive, x1, y1 exclusive, from 0; and class ids int64 [n].
        """

    def class_mask(self, sample: Sample) -> NDArray[np.uint8]:
        """The class of each pixel, uint8 [h, w]: 0 background, 1 + class id, 255 void."""

    def instance_masks(self, sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Masks bool [n, h, w] and class ids int64 [n] of the objects, crowds left out."""

    def objects(self, sample: Sample) -> Objects:
        """The objects and crowds of a picture."""
