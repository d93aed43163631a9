"""Still pictures: one, a folder of them, or a glob."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.sources.base import Frame, TrackedSource
from prm_runtime.sources.errors import CodecError, NotFoundError, SourceError
from prm_runtime.sources.status import SourceState

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture, turned upright where its EXIF data say so.

    Returns:
        RGB, uint8 [H, W, 3].

    Raises:
        SourceError: If the file is missing, empty or no picture.
        MemoryError: If there is no memory for its pixels.
    """
    try:
        content = np.fromfile(path, np.uint8)  # cv2.imread cannot open every path on every system
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be opened ({error.strerror})") from None
    if content.size == 0:
        raise CodecError(f"{path}: is empty; expected a picture")
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(f"{path}: is too large for this computer's memory") from None
        image = None  # e.g. more pixels than OpenCV accepts
    if image is None:
        raise CodecError(f"{path}: cannot be decoded; it is damaged or not a picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class Pictures(TrackedSource):
    """Still pictures; each is a source of its own with one frame.

    Attributes:
        paths: Their files, in order.
    """

    is_still = True

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        """Take the pictures in the order given."""
        super().__init__(name)
        self.length = len(paths)
        self.paths = paths

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures; of several, those that cannot be read are skipped.

        Raises:
            SourceError: If none can be read.
        """
        self.keeper.enter(SourceState.RUNNING)
        is_any_readable = False
        for path in self.paths:
            try:
                image = read_picture(path)
            except SourceError as error:
                self.skip(str(error))
                if path is self.paths[-1] and not is_any_readable:
                    raise
                continue
            is_any_readable = True
            self.keeper.count(frames=1)
            yield Frame(image, str(path), 0, None)


def from_folder(folder: Path) -> Pictures:
    """The pictures directly inside a folder, by name.

    Raises:
        SourceError: If there is none.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise NotFoundError(f"{folder}: no pictures in this folder; expected files ending in {_endings()}")
    return Pictures(str(folder), paths)


def from_glob(pattern: str) -> Pictures:
    """The pictures that match a pattern (``**`` crosses folders), by name.

    Raises:
        SourceError: If there is none.
    """
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (absolute patterns)
    paths = [path for path in matches if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not paths:
        raise NotFoundError(f"{pattern}: matches no picture; expected files ending in {_endings()}")
    return Pictures(pattern, paths)


def _endings() -> str:
    return ", ".join(sorted(SUFFIXES))
