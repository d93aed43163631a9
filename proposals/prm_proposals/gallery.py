"""Galleries of segment proposals, made here or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prm_proposals.maps import nearest
from prm_proposals.membership import pack, sum_members


class GalleryError(ValueError):
    """A gallery that cannot be used: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Gallery:
    """Segment proposals as unions of superpixels.

    Attributes:
        labels: Superpixel of each pixel, int32 [h, w] with values 0..K-1.
        members: Whether proposal n holds superpixel k, bool [N, K].
    """

    labels: NDArray[np.int32]
    members: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check shapes, types and label range.

        Raises:
            GalleryError: If they do not fit together.
        """
        labels, members = self.labels, self.members
        if labels.ndim != 2 or labels.size == 0 or labels.dtype != np.int32:
            raise GalleryError(f"labels must be int32 [h, w], got {labels.dtype} {list(labels.shape)}")
        if members.ndim != 2 or members.dtype != np.bool_:
            raise GalleryError(f"members must be bool [N, K], got {members.dtype} {list(members.shape)}")
        if labels.min() < 0 or labels.max() >= members.shape[1]:
            raise GalleryError(
                f"labels must lie in 0..{members.shape[1] - 1} (members has {members.shape[1]} columns), "
                f"got {labels.min()}..{labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.members)

    def masks(self, index: ArrayLike | None = None) -> NDArray[np.bool_]:
        """Pixel masks of the proposals at ``index`` (all without it), bool [n, h, w]."""
        members = self.members if index is None else self.members[np.atleast_1d(np.asarray(index))]
        return members[:, self.labels]

    def sums(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum of weights over the superpixels of each proposal, float32 [n, N], of weights [n, K]."""
        return sum_members(self._packed, weights)

    def prepare_sums(self) -> None:
        """Pack the proposals for :meth:`sums` before the weights come."""
        _ = self._packed

    @cached_property
    def _packed(self) -> NDArray[np.uint8]:
        return pack(self.members)

    def fit(self, labels: NDArray[np.int32]) -> Gallery:
        """The same proposals as unions of other superpixels, such as those of a frame.

        Each proposal takes the superpixels that it covers by more than half: no other union of them has fewer
        wrong pixels. Detail finer than the superpixels is lost, and a proposal that covers none of them by
        more than half is left out. Takes four bytes per proposal and piece of the common refinement of the
        two sets of superpixels; only for noise has that as many pieces as pixels.

        Args:
            labels: Superpixels that cover the same picture, int32 [h, w], values 0..K-1. Pixels are counted
                on the finer of the two grids in each direction, by nearest neighbour.
        """
        height, width = np.maximum(labels.shape, self.labels.shape)
        count = int(labels.max()) + 1
        wanted, own = (nearest(grid, (int(height), int(width))).ravel() for grid in (labels, self.labels))
        # Pixels that share both superpixels are counted once, in order of the wanted superpixel.
        pieces, pixels = np.unique(wanted * np.int64(self.members.shape[1]) + own, return_counts=True)
        targets, sources = np.divmod(pieces, self.members.shape[1])
        present, starts = np.unique(targets, return_index=True)
        inside = self.members[:, sources] * pixels.astype(np.int32)
        members = np.zeros((len(self), count), bool)
        sizes = np.add.reduceat(pixels, starts)
        members[:, present] = 2 * np.add.reduceat(inside, starts, axis=1) > sizes
        return Gallery(labels, members[members.any(axis=1)])

    @classmethod
    def from_masks(cls, masks: ArrayLike) -> Gallery:
        """Gallery of pixel masks; its superpixels are the common refinement of all masks.

        Args:
            masks: Proposals, [N, h, w], non-zero inside.

        Raises:
            GalleryError: If ``masks`` is not [N, h, w] with at least one pixel.
        """
        array = np.asarray(masks)
        if array.ndim != 3 or array.shape[1] * array.shape[2] == 0:
            raise GalleryError(f"masks must be [N, h, w], got shape {list(array.shape)}")
        count, height, width = array.shape
        # Two pixels are one superpixel iff the same masks hold them: compare their packed columns of bits.
        if count == 0:
            return cls(np.zeros((height, width), np.int32), np.zeros((0, 1), bool))
        inside = (array != 0).reshape(count, -1)
        columns = np.ascontiguousarray(np.packbits(inside, axis=0).T)
        keys = columns.view(np.dtype((np.void, columns.shape[1]))).ravel()
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return cls(inverse.reshape(height, width).astype(np.int32), inside[:, first])

    @classmethod
    def from_coco_rle(cls, annotations: Sequence[Mapping[str, Any]]) -> Gallery:
        """Gallery of COCO run-length encoded masks of one picture.

        Args:
            annotations: COCO annotations or results (``{"segmentation": {"size", "counts"}}``) or plain RLE
                objects (``{"size": [h, w], "counts": ...}``), compressed or as a list of runs.

        Raises:
            GalleryError: If there is none, one is no valid RLE, or the sizes differ.
        """
        if not annotations:
            raise GalleryError("expected at least one COCO RLE mask, got an empty list")
        masks = [_decode_rle(annotation, i) for i, annotation in enumerate(annotations)]
        sizes = {mask.shape for mask in masks}
        if len(sizes) > 1:
            raise GalleryError(f"all masks must be of one picture, got sizes {sorted(sizes)} (height, width)")
        return cls.from_masks(np.stack(masks))

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` that :meth:`load` reads."""
        with Path(path).open("wb") as file:
            np.savez_compressed(file, labels=self.labels, members=self.members)

    @classmethod
    def load(cls, path: str | Path) -> Gallery:
        """Read ``.npz``: either ``labels`` + ``members``, or ``masks`` [N, h, w].

        Raises:
            GalleryError: If the file is no such gallery.
            OSError: If it cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {
                    name: stored[name] for name in ("labels", "members", "masks") if name in stored.files
                }
        except (ValueError, TypeError, BadZipFile, EOFError) as error:
            raise GalleryError(f"{path}: expected an .npz file of plain arrays, got: {error}") from error
        try:
            if "labels" in arrays and "members" in arrays:
                return cls(_integer_labels(arrays["labels"]), arrays["members"])
            if "masks" in arrays:
                return cls.from_masks(arrays["masks"])
        except GalleryError as error:
            raise GalleryError(f"{path}: {error}") from error
        raise GalleryError(
            f'{path}: expected arrays "labels" and "members", or "masks"; found {sorted(arrays)}'
        )


def _integer_labels(labels: NDArray[Any]) -> NDArray[np.int32]:
    if not np.issubdtype(labels.dtype, np.integer):
        raise GalleryError(f"labels must be integers, got {labels.dtype}")
    return labels.astype(np.int32)


def _decode_rle(annotation: Mapping[str, Any], position: int) -> NDArray[np.uint8]:
    from pycocotools import mask as coco  # imported here: only imported galleries need it

    rle = annotation.get("segmentation", annotation) if isinstance(annotation, Mapping) else annotation
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= set(rle):
        raise GalleryError(
            f'mask {position}: expected RLE {{"size": [h, w], "counts": ...}}, got {str(rle)[:60]}'
        )
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
        if isinstance(counts, str):
            compressed: Any = {"size": [height, width], "counts": counts.encode("ascii")}
        elif isinstance(counts, bytes):
            compressed = {"size": [height, width], "counts": counts}
        else:
            if sum(counts) != height * width:
                raise ValueError(f"runs add up to {sum(counts)} pixels, not {height} x {width}")
            compressed = coco.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
        return np.asarray(coco.decode(compressed), dtype=np.uint8)
    except (TypeError, ValueError, OverflowError) as error:
        raise GalleryError(f"mask {position}: not a valid COCO RLE: {error}") from error
