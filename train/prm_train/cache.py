"""The views of each picture that a run trains on when the frozen part of its backbone is cached."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.filesize import decimal
from torch import Tensor

from prm_runtime.console import PrmError
from prm_train.backbones import Backbone
from prm_train.batches import SameSizeBatches, Size
from prm_train.config import Recipe
from prm_train.data import LabelledPictures, normalise
from prm_train.features import CachedFeatures, feature_shapes, file_name, weights_digest
from prm_train.progress import progress_bar, say


class FeatureCache:
    """Features of every view of the training pictures, and of the validation pictures.

    Each file is computed when it is first needed and found again by a resumed run, or by any other that would
    compute the same: names are digests of pictures, frozen weights and everything else that decides.

    Args:
        fabric: Where and in which precision features are computed; only its first process does.
        recipe: How many views, and what decides them.
        backbone: Its frozen part is what is applied.
        folder: Folder of the files.
        workers: Processes that decode pictures.
    """

    def __init__(
        self, fabric: Fabric, recipe: Recipe, backbone: Backbone, folder: Path, workers: int
    ) -> None:
        self._fabric = fabric
        self._recipe = recipe
        self._backbone = backbone
        self._folder = folder
        self._workers = workers
        self._weights = weights_digest(backbone)

    def training_views(
        self, plain: LabelledPictures, augmented: Sequence[LabelledPictures], sizes: Sequence[Size]
    ) -> list[CachedFeatures]:
        """The plain view of the training pictures, then the augmented ones; nothing is computed yet."""
        recipe = self._recipe
        decides = (recipe.seed, recipe.least_crop, recipe.colour_jitter)
        return [
            self.view(plain, sizes),
            *(self.view(view, sizes, (*decides, view.epoch)) for view in augmented),
        ]

    def view(
        self, pictures: LabelledPictures, sizes: Sequence[Size], randomness: tuple[float, ...] = ()
    ) -> CachedFeatures:
        """The features of one view; nothing is computed yet.

        Args:
            pictures: The view, set to its epoch.
            sizes: Height and width of each picture as the network sees it.
            randomness: What decides the random part of the view; nothing if it has none.
        """
        recipe, backbone = self._recipe, self._backbone
        network = (recipe.backbone, backbone.frozen_blocks, self._weights, recipe.precision)
        name = file_name(pictures, network, recipe.input_size, recipe.batch_size, randomness)
        batches = SameSizeBatches(sizes, recipe.batch_size)
        return CachedFeatures(self._folder / name, pictures, feature_shapes(backbone, sizes), batches)

    def announce(self, views: Sequence[CachedFeatures]) -> None:
        """Say in one line what the views need.

        Raises:
            PrmError: If the disk has not enough room for those that are not there yet.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        total = sum(view.nbytes for view in views)
        missing = sum(view.nbytes for view in views if not view.path.exists())
        free = shutil.disk_usage(self._folder).free
        if missing > free:
            raise PrmError(
                f"cached features need {decimal(missing)} more in {self._folder}, which has"
                f" {decimal(free)} free: lower cached_views, or give another --cache"
            )
        largest = max(view.nbytes for view in views)
        say(
            self._fabric,
            f"cached features: {decimal(total)} on disk in {self._folder}, {decimal(missing)} still to be"
            f" computed; {decimal(largest)} of memory (page cache) let an epoch do without the disk",
        )

    def ensure(self, view: CachedFeatures, title: str) -> CachedFeatures:
        """The view itself, computed if its file is not there."""
        if self._fabric.is_global_zero and not view.path.exists():
            with progress_bar(enabled=True) as progress:
                task = progress.add_task(title, total=len(view))
                for count in view.compute(self._lower, self._workers):
                    progress.update(task, advance=count)
        self._fabric.barrier()
        return view

    @torch.no_grad()
    def _lower(self, pictures: Tensor) -> Tensor:
        backbone = self._backbone
        inputs = normalise(self._fabric.to_device(pictures), backbone.mean, backbone.std)
        with self._fabric.autocast():
            return backbone.lower(inputs.to(next(backbone.parameters()).dtype))
