"""Labelled pictures as batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from PIL import Image
from PIL.ExifTags import Base as ExifTag
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from prm_evaluation.datasets import Dataset, Sample
from prm_runtime.console import PrmError
from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import input_size
from prm_train.augment import Picture
from prm_train.backbones.base import Rgb
from prm_train.batches import SameSizeBatches, Size

Item = tuple[Tensor, Tensor]
Transform = Callable[[Picture, np.random.Generator], Picture]  # workers may get it pickled


class LabelledPictures(TorchDataset[Item]):
    """Transformed pictures, uint8 [3, h, w] RGB, with their labels, float [C] of zeros and ones.

    All randomness is a function of seed, epoch and index: it depends neither on the number of workers nor on
    what ran before, so that a resumed run sees the same pictures.
    """

    def __init__(self, dataset: Dataset, transform: Transform, seed: int = 0, epoch: int = 0) -> None:
        self.samples: Sequence[Sample] = dataset.samples
        self.class_ids = {name: index for index, name in enumerate(dataset.classes)}
        self.transform = transform
        self.seed = seed
        self.epoch = epoch

    def present_class_ids(self) -> list[int]:
        """Ids of the classes that at least one picture has, in order."""
        return sorted({self.class_ids[name] for sample in self.samples for name in sample.labels})

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        sample = self.samples[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        picture = self.transform(read_picture(sample), rng)
        return torch.from_numpy(picture).permute(2, 0, 1), self.labels(index)

    def labels(self, index: int) -> Tensor:
        """The labels of a picture, float [C] of zeros and ones."""
        labels = torch.zeros(len(self.class_ids))
        labels[[self.class_ids[name] for name in self.samples[index].labels]] = 1
        return labels


def read_picture(sample: Sample) -> Picture:
    """Decode a picture to RGB, uint8 [H, W, 3].

    Raises:
        PrmError: If it cannot be decoded.
    """
    bgr = cv2.imread(str(sample.image_path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise PrmError(f"cannot decode the picture {sample.image_path}")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def input_sizes(dataset: Dataset, preprocessing: Preprocessing) -> list[Size]:
    """Height and width of each picture as the network sees it; only the files' headers are read.

    Raises:
        PrmError: If a header cannot be read.
    """
    return [input_size(*_picture_size(sample), preprocessing) for sample in dataset.samples]


def _picture_size(sample: Sample) -> Size:
    """Height and width as :func:`read_picture` gives them."""
    try:
        with Image.open(sample.image_path) as picture:
            # the four orientations on their side, which OpenCV turns upright
            on_its_side = picture.getexif().get(ExifTag.Orientation, 1) >= 5
            width, height = picture.size
    except OSError as error:
        raise PrmError(
            f"cannot read the size of the picture {sample.image_path}: use JPEG, PNG or WebP"
        ) from error
    return (width, height) if on_its_side else (height, width)


def batch_loader(items: TorchDataset[Item], batches: SameSizeBatches, workers: int) -> DataLoader[Item]:
    """The batches of the epoch that ``items`` and ``batches`` are set to."""
    return DataLoader(
        items,
        batch_sampler=batches,
        num_workers=workers,
        worker_init_fn=single_threaded,
        pin_memory=torch.cuda.is_available(),
    )


def single_threaded(_worker: int) -> None:
    """Let a worker process decode on one core: OpenCV's own threads would only fight over the others."""
    cv2.setNumThreads(0)


def normalise(pictures: Tensor, mean: Rgb, std: Rgb) -> Tensor:
    """uint8 [N, 3, H, W] RGB to float (x − mean) / std, channels last in memory."""
    shift, scale = (pictures.new_tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std))
    return ((pictures.float() - shift) / scale).contiguous(memory_format=torch.channels_last)
