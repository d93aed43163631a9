"""The result of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prm_runtime.conversions import coco_annotations, supervision_detections
from prm_runtime.errors import PrmError

if TYPE_CHECKING:
    import supervision

SHOWN = 0.2
"""Score from which on ``prm-run`` shows an instance unless it is told otherwise."""


class InstancesError(PrmError, ValueError):
    """Arrays that do not form a valid result."""


@dataclass(frozen=True, eq=False)
class Instances:
    """Instances of one frame, best first. Coordinates are pixels of the frame, x right, y down.

    Attributes:
        classes: Names that ``class_ids`` index.
        class_ids: int64 [n].
        scores: Calibrated probabilities, float32 [n], in 0..1.
        peaks: (x, y) of the peak behind each instance, or where a mask head sees most of it if there is none;
            float32 [n, 2].
        boxes: (x0, y0, x1, y1), x0 and y0 inclusive, x1 and y1 exclusive, int64 [n, 4].
        masks: bool [n, H, W].
        prms: Peak Response Map of each instance over the whole frame, float32 [n, h2, w2], all 0 without a
            peak; or None.
        track_ids: int64 [n], -1 for an instance that has no track (yet), or None where nothing was tracked.

    Raises:
        InstancesError: On construction, if shapes, types or values do not fit; it states both.

    Example:
        >>> dogs = instances.select(instances.class_ids == instances.classes.index("dog"))
        >>> pixels = dogs.masks.sum(axis=(1, 2))
    """

    classes: tuple[str, ...]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    peaks: NDArray[np.float32]
    boxes: NDArray[np.int64]
    masks: NDArray[np.bool_]
    prms: NDArray[np.float32] | None = None
    track_ids: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Validate; see the class."""
        _check("masks", self.masks, np.bool_, (None, None, None))
        n, height, width = self.masks.shape
        _check("class_ids", self.class_ids, np.int64, (n,))
        _check("scores", self.scores, np.float32, (n,))
        _check("peaks", self.peaks, np.float32, (n, 2))
        _check("boxes", self.boxes, np.int64, (n, 4))
        if self.prms is not None:
            _check("prms", self.prms, np.float32, (n, None, None))
        if self.track_ids is not None:
            _check("track_ids", self.track_ids, np.int64, (n,))
        if n == 0:
            return
        _check_range("class_ids", self.class_ids, 0, len(self.classes) - 1)
        _check_range("scores", self.scores, 0, 1)
        _check_range("boxes x", self.boxes[:, 0::2], 0, width)
        _check_range("boxes y", self.boxes[:, 1::2], 0, height)
        if not (self.boxes[:, :2] < self.boxes[:, 2:]).all():
            raise InstancesError("boxes must have x0 < x1 and y0 < y1 (x1, y1 exclusive)")

    def __len__(self) -> int:
        """Number of instances."""
        return len(self.class_ids)

    @property
    def labels(self) -> list[str]:
        """Class name of each instance."""
        return [self.classes[class_id] for class_id in self.class_ids]

    def track_id(self, n: int) -> int | None:
        """The track of instance ``n``; None where it has none."""
        if self.track_ids is None or self.track_ids[n] < 0:
            return None
        return int(self.track_ids[n])

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO's dictionaries, which serve as annotations and as results.

        Args:
            image_id: Number of the picture.
            category_ids: Category of each class; its class id plus one if None.

        Returns:
            One for each instance: ``image_id``, ``category_id``, ``bbox`` [x, y, width, height], ``area``,
            ``iscrowd``, ``segmentation`` (compressed RLE), ``score``, and ``track_id`` where it has a track.

        Example:
            >>> ground_truth.loadRes(instances.to_coco(139))  # a pycocotools COCO
        """
        return coco_annotations(self, image_id, category_ids)

    def to_supervision(self) -> supervision.Detections:
        """``supervision.Detections`` with masks, scores, classes, tracks and ``data["class_name"]``.

        Boxes are [x0, y0, x1, y1] in pixels; a tracker id of -1 is an instance without a track.

        Raises:
            PrmError: If supervision is not installed (extra ``supervision``).
        """
        return supervision_detections(self)

    def select(self, index: ArrayLike) -> Instances:
        """The instances at ``index`` (a boolean mask or indices), in that order."""
        chosen = np.asarray(index)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        return Instances(
            self.classes,
            self.class_ids[chosen],
            self.scores[chosen],
            self.peaks[chosen],
            self.boxes[chosen],
            self.masks[chosen],
            None if self.prms is None else self.prms[chosen],
            None if self.track_ids is None else self.track_ids[chosen],
        )

    @classmethod
    def empty(
        cls, classes: Sequence[str], height: int, width: int, prms: NDArray[np.float32] | None = None
    ) -> Instances:
        """No instances on a frame of that size, and no ``prms`` [0, h2, w2] of theirs."""
        return cls(
            tuple(classes),
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            np.zeros((0, 2), np.float32),
            np.zeros((0, 4), np.int64),
            np.zeros((0, height, width), np.bool_),
            prms,
        )


def mask_boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Tight boxes (x0, y0, x1, y1) of non-empty masks, x1 and y1 exclusive.

    Args:
        masks: bool [n, H, W], none of them empty.

    Returns:
        int64 [n, 4].

    Example:
        >>> mask = np.zeros((1, 5, 5), bool)
        >>> mask[0, 1:3, 2:5] = True
        >>> mask_boxes(mask).tolist()
        [[2, 1, 5, 3]]
    """
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    columns: NDArray[np.bool_] = np.any(masks, axis=1)
    height, width = masks.shape[1:]
    return np.stack(
        [
            columns.argmax(axis=1),
            rows.argmax(axis=1),
            width - columns[:, ::-1].argmax(axis=1),
            height - rows[:, ::-1].argmax(axis=1),
        ],
        axis=1,
    ).astype(np.int64)


def _check(name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        expected in (None, actual) for expected, actual in zip(shape, array.shape, strict=False)
    )
    if array.dtype != dtype or not fits:
        wanted = ", ".join("*" if side is None else str(side) for side in shape)
        found = ", ".join(str(side) for side in array.shape)
        raise InstancesError(f"{name} must be {np.dtype(dtype)} [{wanted}], got {array.dtype} [{found}]")


def _check_range(name: str, array: NDArray[Any], low: float, high: float) -> None:
    if not ((array >= low) & (array <= high)).all():  # also false for NaN
        raise InstancesError(f"{name} must lie in {low}..{high}, got {array.min()}..{array.max()}")
