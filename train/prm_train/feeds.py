"""What a run feeds its network: pictures, or what the frozen part of the backbone made of them before."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from prm_evaluation.datasets import Dataset
from prm_runtime.manifest import Preprocessing
from prm_train.augment import augment, fit
from prm_train.backbones import Backbone
from prm_train.batches import SameSizeBatches
from prm_train.cache import FeatureCache
from prm_train.config import Recipe
from prm_train.data import Item, LabelledPictures, batch_loader, input_sizes, normalise


class Feeds:
    """Batches of the training and the validation pictures.

    Attributes:
        plain_pictures: The training pictures as a device sees them.
        val_pictures: The validation pictures; not set without any.
        steps: Batches of an epoch of this process.

    Args:
        fabric: Launched fabric: its processes share the batches.
        recipe: Sizes, augmentation, and whether features are cached.
        backbone: Its frozen part is what is cached.
        train_set: Pictures to learn from.
        val_set: Pictures to validate on, or None.
        cache_folder: Folder of cached features.
        workers: Processes that decode pictures.
    """

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        backbone: Backbone,
        train_set: Dataset,
        val_set: Dataset | None,
        cache_folder: Path,
        workers: int,
    ) -> None:
        self._recipe = recipe
        self._backbone = backbone
        self._workers = workers
        preprocessing = Preprocessing(
            size=recipe.input_size, multiple=backbone.stride, mean=backbone.mean, std=backbone.std
        )
        plain = partial(fit, preprocessing=preprocessing)
        augmented = partial(
            augment, preprocessing=preprocessing, least_crop=recipe.least_crop, jitter=recipe.colour_jitter
        )
        batches = partial(
            SameSizeBatches,
            batch_size=recipe.batch_size,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
        )
        train_sizes = input_sizes(train_set, preprocessing)
        self._train_pictures = LabelledPictures(train_set, augmented, recipe.seed)
        self._train_batches = batches(train_sizes, seed=recipe.seed)
        self.steps = len(self._train_batches)
        self.plain_pictures = LabelledPictures(train_set, plain)
        if val_set is not None:
            val_sizes = input_sizes(val_set, preprocessing)
            self.val_pictures = LabelledPictures(val_set, plain)
            self._val_batches = batches(val_sizes)

        self._cache = None
        if recipe.cached_views:
            self._cache = FeatureCache(fabric, recipe, backbone, cache_folder, workers)
            views = range(1, min(recipe.cached_views, recipe.epochs))
            augmented_views = [LabelledPictures(train_set, augmented, recipe.seed, view) for view in views]
            self._train_views = self._cache.training_views(self.plain_pictures, augmented_views, train_sizes)
            self._val_views = [] if val_set is None else [self._cache.view(self.val_pictures, val_sizes)]

    @property
    def lowered(self) -> bool:
        """Whether batches are of features that the backbone's frozen part made, and not of pictures."""
        return self._cache is not None

    def announce(self) -> None:
        """Say what cached features need, if there are any.

        Raises:
            PrmError: If there is no room for them.
        """
        if self._cache is not None:
            self._cache.announce([*self._train_views, *self._val_views])

    def training(self, epoch: int) -> DataLoader[Item]:
        """The training batches of an epoch."""
        self._train_batches.epoch = epoch
        if self._cache is None:
            self._train_pictures.epoch = epoch
            return batch_loader(self._train_pictures, self._train_batches, self._workers)
        number = epoch % self._recipe.cached_views
        view = self._cache.ensure(self._train_views[number], f"features of view {number}")
        return batch_loader(view, self._train_batches, workers=0)

    def validation(self) -> DataLoader[Item]:
        """The validation batches; there must be validation pictures."""
        if self._cache is None:
            return batch_loader(self.val_pictures, self._val_batches, self._workers)
        (view,) = self._val_views
        return batch_loader(self._cache.ensure(view, "validation features"), self._val_batches, workers=0)

    def prepare(self, inputs: Tensor) -> Tensor:
        """What the network takes of the first part of a batch, which is on the network's device."""
        if self._cache is None:
            return normalise(inputs, self._backbone.mean, self._backbone.std)
        return inputs.float().contiguous(memory_format=torch.channels_last)
