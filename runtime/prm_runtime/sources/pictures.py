"""Still pictures: one, a folder of them, or a glob."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.sources.base import Frame, SourceError
from prm_runtime.sources.status import SourceState, SourceStatus, StatusKeeper

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture, turned upright where its EXIF data say so.

    Returns:
        RGB, uint8 [H, W, 3].

    Raises:
        SourceError: If the file is missing, empty or no picture.
    """
    try:
        content = np.fromfile(path, np.uint8)  # cv2.imread cannot open every path on every system
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened ({error.strerror})") from None
    if content.size == 0:
        raise SourceError(f"{path}: is empty; expected a picture")
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None  # e.g. more pixels than OpenCV accepts
    if image is None:
        raise SourceError(f"{path}: cannot be decoded; it is damaged or not a picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class Pictures:
    """Still pictures; each is a source of its own with one frame."""

    fps: Fraction | None = None

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        """Take the pictures in the order given."""
        self.name = name
        self.length: int | None = len(paths)
        self.problems: list[str] = []
        self._keeper = StatusKeeper(self.name)
        self._paths = paths

    @property
    def status(self) -> SourceStatus:
        """State and counts so far."""
        return self._keeper.status

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures; of several, those that cannot be read are skipped.

        Raises:
            SourceError: If none can be read.
        """
        self._keeper.enter(SourceState.RUNNING)
        for path in self._paths:
            try:
                image = read_picture(path)
            except SourceError as error:
                self.problems.append(str(error))
                self._keeper.count(skipped=1)
                if len(self.problems) == len(self._paths):
                    self._keeper.enter(SourceState.ENDED, str(error))
                    raise
                continue
            self._keeper.count(frames=1)
            yield Frame(image, str(path), 0, None)
        self._keeper.enter(SourceState.ENDED)


def from_folder(folder: Path) -> Pictures:
    """The pictures directly inside a folder, by name.

    Raises:
        SourceError: If there is none.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise SourceError(f"{folder}: no pictures in this folder; expected files ending in {_endings()}")
    return Pictures(str(folder), paths)


def from_glob(pattern: str) -> Pictures:
    """The pictures that match a pattern (``**`` crosses folders), by name.

    Raises:
        SourceError: If there is none.
    """
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (absolute patterns)
    paths = [path for path in matches if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not paths:
        raise SourceError(f"{pattern}: matches no picture; expected files ending in {_endings()}")
    return Pictures(pattern, paths)


def _endings() -> str:
    return ", ".join(sorted(SUFFIXES))
