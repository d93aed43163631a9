"""Galleries that were made beforehand, in files named after their pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from prm_proposals.gallery import Gallery, GalleryError
from prm_proposals.picture import Picture, ProposalError


class GalleryFolder:
    """A folder that holds ``NAME.npz`` (:meth:`Gallery.load`) or ``NAME.json`` for each picture NAME.

    A ``.json`` file is a list of COCO annotations, results or plain RLE objects, or an object that holds such
    a list as ``annotations``, as the files of SA-1B do. Galleries of any resolution are fitted to the
    picture's superpixels (:meth:`Gallery.fit`). Pictures of one name in several folders share a gallery.
    """

    feature_names: tuple[str, ...] = ()

    def __init__(self, folder: str | Path) -> None:
        """Take a folder.

        Raises:
            ProposalError: If it holds no gallery.
        """
        self.folder = Path(folder)
        if not any(path.suffix in (".npz", ".json") for path in self.folder.glob("*")):
            raise ProposalError(
                f"{folder}: no galleries in this folder; expected NAME.npz or NAME.json for a picture NAME"
            )

    def __call__(self, picture: Picture) -> Gallery:
        """The gallery of this picture; see :class:`~prm_proposals.picture.ProposalSource`."""
        if picture.name is None:
            raise ProposalError(
                f"the galleries of {self.folder} are found by their picture's name, but this picture has none"
            )
        arrays, masks = (self.folder / f"{picture.name}{suffix}" for suffix in (".npz", ".json"))
        if arrays.is_file():
            gallery, path = Gallery.load(arrays), arrays
        elif masks.is_file():
            gallery, path = _load_coco(masks, picture), masks
        else:
            raise GalleryError(f"{arrays}: no such gallery, nor {masks.name}; make one for every picture")
        (rows, columns), (height, width) = gallery.labels.shape, picture.image.shape[:2]
        # Either side of a gallery may have been rounded to a whole pixel.
        if abs(rows * width - columns * height) > max(height, width):
            raise GalleryError(
                f"{path}: the gallery is of a picture with another aspect, {columns} x {rows} pixels for "
                f"{width} x {height}; was the picture cropped or turned since?"
            )
        return gallery.fit(picture.graph.labels)


def _load_coco(path: Path, picture: Picture) -> Gallery:
    try:
        content: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise GalleryError(f"{path}: expected COCO RLE masks in JSON, got: {error}") from error
    if isinstance(content, dict):
        content = content.get("annotations")
    if not isinstance(content, list):
        raise GalleryError(
            f'{path}: expected a list of COCO RLE masks, or an object with such a list as "annotations"'
        )
    if not content:  # a picture in which nothing was found; no mask says how large it was
        return Gallery(picture.graph.labels, np.zeros((0, picture.graph.count), bool))
    try:
        return Gallery.from_coco_rle(content)
    except GalleryError as error:
        raise GalleryError(f"{path}: {error}") from error
