"""What a network's frozen part makes of pictures, computed once and kept in memory-mapped files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from prm_runtime.console import PrmError
from prm_train.backbones import Backbone
from prm_train.batches import SameSizeBatches, Size
from prm_train.data import Item, LabelledPictures, batch_loader

Shape = tuple[int, ...]

FORMAT = 1
"""Part of every file's name: raise it when files mean something else than before."""


class CachedFeatures(TorchDataset[Item]):
    """Features of transformed pictures, float16 [K, h, w], with their labels, float [C] of zeros and ones.

    Args:
        path: File of the features, one picture after the other in the order of ``batches``.
        pictures: The pictures, set to the epoch whose randomness they get.
        shapes: K, h and w of each picture's features.
        batches: Every picture once, in an order that is always the same.
    """

    def __init__(
        self, path: Path, pictures: LabelledPictures, shapes: Sequence[Shape], batches: SameSizeBatches
    ) -> None:
        self.path = path
        self._pictures = pictures
        self._shapes = shapes
        self._batches = batches
        order = [index for batch in batches for index in batch]
        ends = np.cumsum([prod(shapes[index]) for index in order])
        self._ends: dict[int, int] = dict(zip(order, ends.tolist(), strict=True))
        self._values: NDArray[np.float16] | None = None

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return 2 * max(self._ends.values())

    def compute(self, lower: Callable[[Tensor], Tensor], workers: int) -> Iterable[int]:
        """Write the file, whole or not at all.

        Args:
            lower: Maps pictures, uint8 [N, 3, H, W], to features, float [N, K, h, w].
            workers: Processes that decode pictures.

        Yields:
            After each batch its number of pictures.

        Raises:
            PrmError: If features do not fit into float16.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".{os.getpid()}.part")  # runs may share a folder
        try:
            with temporary.open("wb") as file:
                for pictures, _ in batch_loader(self._pictures, self._batches, workers):
                    features = lower(pictures).half()
                    if not features.isfinite().all():
                        raise PrmError(
                            "frozen blocks give features beyond float16 (65504): train with cached_views = 0"
                        )
                    file.write(features.cpu().contiguous().numpy().tobytes())
                    yield len(pictures)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Item:
        if self._values is None:
            self._values = np.memmap(self.path, np.float16, "r")
        shape, end = self._shapes[index], self._ends[index]
        # copied: the file is read-only, and tensors never are
        features = self._values[end - prod(shape) : end].reshape(shape).copy()
        return torch.from_numpy(features), self._pictures.labels(index)


@torch.no_grad()
def feature_shapes(backbone: Backbone, sizes: Sequence[Size]) -> list[Shape]:
    """K, h and w of what the backbone's frozen part makes of pictures of these heights and widths."""
    parameter = next(backbone.parameters())
    smallest = torch.zeros(1, 3, backbone.stride, backbone.stride, device=parameter.device)
    _, channels, h, w = backbone.lower(smallest.to(parameter.dtype)).shape
    return [(channels, H * h // backbone.stride, W * w // backbone.stride) for H, W in sizes]


def weights_digest(backbone: Backbone) -> str:
    """SHA-256 of the frozen stem and blocks with their batch norm's statistics."""
    digest = hashlib.sha256()
    for module in (*backbone.stem_modules, *backbone.blocks[: backbone.frozen_blocks]):
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_name(pictures: LabelledPictures, *identity: object) -> str:
    """A name that changes with whatever decides a file's content.

    Args:
        pictures: Counts with the path, size and time of change of each file.
        *identity: What else decides, by its ``repr``.
    """
    digest = hashlib.sha256(repr((FORMAT, identity)).encode())
    for sample in pictures.samples:
        state = sample.image_path.stat()
        digest.update(f"{sample.image_path.resolve()}:{state.st_size}:{state.st_mtime_ns}\n".encode())
    return f"{digest.hexdigest()[:20]}.f16"
