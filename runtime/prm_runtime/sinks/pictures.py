"""Pictures in a folder: overlays and heat maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.draw import draw_prm
from prm_runtime.sinks.base import Result, SinkError
from prm_runtime.sinks.files import make_folder, replace_file
from prm_runtime.sources.base import Frame
from prm_runtime.sources.uri import plain_name


class Overlays:
    """Writes each overlay as a JPEG named after its source."""

    def __init__(self, folder: str) -> None:
        """Make the folder."""
        self._folder = make_folder(Path(folder))
        self._names = FrameNames()

    def __str__(self) -> str:
        """What people call it."""
        return str(self._folder)

    def write(self, result: Result) -> None:
        """Write one picture."""
        image = result.overlay
        with result.times.stage("write"):
            write_picture(self._folder / f"{self._names.name(result.frame)}.jpg", image)

    def close(self) -> None:
        """Nothing is open between pictures."""


class PrmHeatMaps:
    """Writes the Peak Response Map of each instance as a heat map over its frame."""

    def __init__(self, folder: str) -> None:
        """Make the folder."""
        self._folder = make_folder(Path(folder))
        self._names = FrameNames()

    def __str__(self) -> str:
        """What people call it."""
        return str(self._folder)

    def write(self, result: Result) -> None:
        """Write one picture per instance: ``NAME_0_dog.jpg``, numbered from the best."""
        if result.instances.prms is None:
            return
        name = self._names.name(result.frame)
        for n, label in enumerate(result.instances.labels):
            with result.times.stage("draw"):
                heat = draw_prm(result.frame.image, result.instances.prms[n])
            with result.times.stage("write"):
                write_picture(self._folder / f"{name}_{n}_{plain_name(label)}.jpg", heat)

    def close(self) -> None:
        """Nothing is open between pictures."""


class FrameNames:
    """Gives each frame a file name that no other frame of the run has."""

    def __init__(self) -> None:
        """Start with no name taken."""
        self._stems: dict[str, str] = {}
        self._taken: set[str] = set()

    def name(self, frame: Frame) -> str:
        """``dog`` for the picture dog.jpg, ``clip_000012`` for frame 12 of clip.mp4."""
        return f"{self.stem(frame)}{frame.number}"

    def stem(self, frame: Frame) -> str:
        """``clip`` for all frames of clip.mp4, ``clip-2`` for those of other/clip.mp4."""
        stem = self._stems.get(frame.source)
        if stem is None:
            stem, copies = frame.stem, 1
            while stem in self._taken:  # a/dog.jpg and b/dog.jpg
                copies += 1
                stem = f"{frame.stem}-{copies}"
            self._stems[frame.source] = stem
            self._taken.add(stem)
        return stem


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB picture, whole or not at all.

    Raises:
        SinkError: If the format cannot hold it.
        OSError: If it cannot be written.
    """
    try:
        content = encode_picture(image, path.suffix)
    except ValueError as error:
        raise SinkError(f"{path}: {error}") from error
    replace_file(path, content)


def encode_picture(image: NDArray[np.uint8], suffix: str) -> bytes:
    """An RGB picture, uint8 [H, W, 3], in the format of a file name's ending such as ``.jpg``.

    Raises:
        ValueError: If the format cannot hold it.
    """
    encoded, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError(f"cannot encode a picture of {image.shape[1]} x {image.shape[0]} pixels")
    return bytes(content.tobytes())
