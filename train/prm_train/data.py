"""Labelled pictures as batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler
from torch.utils.data import Dataset as TorchDataset

from prm_evaluation.datasets import Dataset, Sample
from prm_runtime.console import PrmError
from prm_train.augment import Picture
from prm_train.backbones.base import Rgb

Item = tuple[Tensor, Tensor]
Transform = Callable[[Picture, np.random.Generator], Picture]  # workers may get it pickled


class LabelledPictures(TorchDataset[Item]):
    """Transformed pictures, uint8 [3, S, S] RGB, with their labels, float [C] of zeros and ones.

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
        labels = torch.zeros(len(self.class_ids))
        labels[[self.class_ids[name] for name in sample.labels]] = 1
        return torch.from_numpy(picture).permute(2, 0, 1), labels


def read_picture(sample: Sample) -> Picture:
    """Decode a picture to RGB, uint8 [H, W, 3].

    Raises:
        PrmError: If it cannot be decoded.
    """
    bgr = cv2.imread(str(sample.image_path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise PrmError(f"cannot decode the picture {sample.image_path}")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def training_batches(
    pictures: LabelledPictures, batch_size: int, workers: int, *, rank: int = 0, world_size: int = 1
) -> DataLoader[Item]:
    """Shuffled full batches of the epoch that ``pictures`` are set to; each process gets its own share.

    There are ``len(pictures) // (batch_size * world_size)`` of them.
    """
    # padded shares could fill one batch more than the schedule has steps for
    sampler = DistributedSampler[Item](
        pictures, world_size, rank, shuffle=True, seed=pictures.seed, drop_last=True
    )
    sampler.set_epoch(pictures.epoch)
    return _loader(pictures, batch_size, workers, sampler, drop_last=True)


def validation_batches(
    pictures: LabelledPictures, batch_size: int, workers: int, *, rank: int = 0, world_size: int = 1
) -> DataLoader[Item]:
    """All pictures in order; with several processes the last ones may be seen twice."""
    sampler = DistributedSampler[Item](pictures, world_size, rank, shuffle=False)
    return _loader(pictures, batch_size, workers, sampler, drop_last=False)


def _loader(
    pictures: LabelledPictures,
    batch_size: int,
    workers: int,
    sampler: DistributedSampler[Item],
    *,
    drop_last: bool,
) -> DataLoader[Item]:
    return DataLoader(
        pictures,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=drop_last,
        worker_init_fn=_single_threaded,
        pin_memory=torch.cuda.is_available(),
    )


def _single_threaded(_worker: int) -> None:
    # a worker is one process of several: OpenCV's own threads would only fight over the cores
    cv2.setNumThreads(0)


def normalise(pictures: Tensor, mean: Rgb, std: Rgb) -> Tensor:
    """uint8 [N, 3, H, W] RGB to float (x − mean) / std, channels last in memory."""
    shift, scale = (pictures.new_tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std))
    return ((pictures.float() - shift) / scale).contiguous(memory_format=torch.channels_last)
