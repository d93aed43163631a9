"""The training loop: Lightning Fabric carries devices, processes and precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.progress import TextColumn
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics.classification import MultilabelAveragePrecision

from prm_evaluation.datasets import Dataset
from prm_runtime.console import PrmError
from prm_runtime.manifest import Preprocessing
from prm_train.aggregation import class_scores, create_aggregation
from prm_train.augment import augment, fit
from prm_train.batches import SameSizeBatches
from prm_train.cache import FeatureCache
from prm_train.config import MaskRecipe, Recipe
from prm_train.data import Item, LabelledPictures, batch_loader, input_sizes, normalise
from prm_train.fcn import MapsAndFeatures
from prm_train.finish import write_checkpoint
from prm_train.mask_head import create_mask_head
from prm_train.mask_training import train_mask_head
from prm_train.progress import progress_bar, say
from prm_train.region_features import region_features
from prm_train.resume import restore_state, save_state
from prm_train.setup import create_network, create_optimizer

LOG_EVERY = 10


@dataclass(frozen=True)
class RunSettings:
    """What a run needs beside recipe and data, and what must not change its result.

    Attributes:
        out: Folder of the checkpoint, the logs and the state to resume from.
        workers: Processes that decode pictures.
        resume: Whether to go on from the last finished epoch.
        data_name: What the checkpoint's provenance calls the data.
        cache: Folder of cached features, if the recipe wants any; None is ``features`` in ``out``.
    """

    out: Path
    workers: int
    resume: bool
    data_name: str
    cache: Path | None = None


class Trainer:
    """Trains one recipe on one data set.

    Args:
        fabric: Launched fabric; its precision is the recipe's.
        recipe: What to do.
        train_set: Pictures to learn from.
        val_set: Pictures for the classification mAP after each epoch, or None.
        settings: Where and how to run.

    Raises:
        PrmError: If the recipe does not fit the data, or ``settings.out`` holds another run.
    """

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe,
        train_set: Dataset,
        val_set: Dataset | None,
        settings: RunSettings,
    ) -> None:
        self.fabric = fabric
        self.recipe = recipe
        self.settings = settings
        self.classes = train_set.classes
        self.validates = val_set is not None
        if val_set is not None and not any(sample.labels for sample in val_set.samples):
            raise PrmError(
                "no picture of the validation split has a label: leave out --val-split, or label some"
            )
        fabric.seed_everything(recipe.seed, verbose=False)
        self.network = create_network(recipe, len(self.classes))
        self.aggregation = create_aggregation(recipe.aggregation, **recipe.aggregation_options)

        backbone = self.network.backbone
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
        self.train_pictures = LabelledPictures(train_set, augmented, recipe.seed)
        self.train_batches = batches(train_sizes, seed=recipe.seed)
        self.steps = len(self.train_batches)
        self.plain_pictures = LabelledPictures(train_set, plain)
        if val_set is not None:
            val_sizes = input_sizes(val_set, preprocessing)
            self.val_pictures = LabelledPictures(val_set, plain)
            self.val_batches = batches(val_sizes)

        self.cache = None
        if recipe.cached_views:
            folder = settings.cache or settings.out / "features"
            self.cache = FeatureCache(fabric, recipe, backbone, folder, settings.workers)
            views = range(1, min(recipe.cached_views, recipe.epochs))
            augmented_views = [LabelledPictures(train_set, augmented, recipe.seed, view) for view in views]
            self.train_views = self.cache.training_views(self.plain_pictures, augmented_views, train_sizes)
            self.val_views = [] if val_set is None else [self.cache.view(self.val_pictures, val_sizes)]

        optimizer, self.scheduler = create_optimizer(recipe, self.network, self.steps)
        model = MapsAndFeatures(self.network, lowered=recipe.cached_views > 0)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.state = {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "epoch": 0,
            "metrics": {},
        }
        restore_state(fabric, settings.out, self.state, recipe, self.classes, resume=settings.resume)
        steps = self.scheduler.total_steps // recipe.epochs
        if steps != self.steps:
            raise PrmError(
                f"{settings.out} was started with {steps} steps an epoch, the data and --devices now make"
                f" {self.steps}: resume with the same, or give another --out"
            )

    def run(self) -> None:
        """Train the epochs that are left, then fit the feature taps and write the checkpoint."""
        if self.cache is not None:
            self.cache.announce([*self.train_views, *self.val_views])
        while self.state["epoch"] < self.recipe.epochs:
            epoch: int = self.state["epoch"]
            metrics = {"loss": self._train_epoch(epoch)}
            if self.validates:
                metrics["classification_map"] = self._validate()
            self.state |= {"epoch": epoch + 1, "metrics": metrics}
            self.fabric.log_dict(metrics, step=(epoch + 1) * self.steps)
            save_state(self.fabric, self.settings.out, self.state, self.recipe, self.classes)
            figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            say(self.fabric, f"epoch {epoch + 1}/{self.recipe.epochs}: {figures}")
        if self.fabric.is_global_zero:
            if self.recipe.mask_head is not None:
                self._train_mask_head(self.recipe.mask_head)
            provenance = {
                "data": self.settings.data_name,
                "pictures": len(self.train_pictures),
                "epochs": self.state["epoch"],
                "metrics": self.state["metrics"],
            }
            write_checkpoint(
                self.settings.out, self.network, self.recipe, self.classes, self.plain_pictures, provenance
            )
        self.fabric.barrier()
        say(self.fabric, f"wrote {self.settings.out}")

    def _train_epoch(self, epoch: int) -> float:
        batches = self._training_batches(epoch)
        # every epoch starts from a seed of its own: nothing that ran before can matter to a resumed run
        self.fabric.seed_everything(self.recipe.seed + epoch, verbose=False)
        self.model.train()
        total = 0.0
        column = TextColumn("loss {task.fields[loss]:.4f}")
        with progress_bar(column, enabled=self.fabric.is_global_zero) as progress:
            task = progress.add_task(f"epoch {epoch + 1}", total=self.steps, loss=math.nan)
            for step, batch in enumerate(batches):
                loss = self._train_step(batch)
                if not math.isfinite(loss):
                    raise PrmError(
                        f"the loss became {loss} in epoch {epoch + 1}: lower --learning-rate and"
                        " --head-learning-rate, or use --precision 32-true"
                    )
                total += loss
                progress.update(task, advance=1, loss=total / (step + 1))
                if step % LOG_EVERY == 0:
                    rate = self.scheduler.get_last_lr()[0]
                    self.fabric.log_dict(
                        {"step_loss": loss, "learning_rate": rate}, step=epoch * self.steps + step
                    )
        return total / self.steps

    def _train_mask_head(self, recipe: MaskRecipe) -> None:
        self.network.float()
        self.network.mask_head = create_mask_head(self.network.backbone, len(self.classes))
        with region_features(
            self.network, self.plain_pictures, recipe, self.settings.out, self.settings.workers
        ) as (features, pictures):
            train_mask_head(
                self.network.mask_head,
                features,
                pictures,
                recipe,
                self.recipe.seed,
                report=lambda line: say(self.fabric, line),
            )

    def _training_batches(self, epoch: int) -> DataLoader[Item]:
        self.train_batches.epoch = epoch
        if self.cache is None:
            self.train_pictures.epoch = epoch
            return batch_loader(self.train_pictures, self.train_batches, self.settings.workers)
        number = epoch % self.recipe.cached_views
        view = self.cache.ensure(self.train_views[number], f"features of view {number}")
        return batch_loader(view, self.train_batches, workers=0)

    def _validation_batches(self) -> DataLoader[Item]:
        if self.cache is None:
            return batch_loader(self.val_pictures, self.val_batches, self.settings.workers)
        (view,) = self.val_views
        return batch_loader(self.cache.ensure(view, "validation features"), self.val_batches, workers=0)

    def _train_step(self, batch: Item) -> float:
        scores, labels = self._scores(batch)
        loss = F.binary_cross_entropy_with_logits(scores, labels)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        return loss.item()

    @torch.no_grad()
    def _validate(self) -> float:
        """The mean of the average precision over the classes that the pictures hold."""
        self.model.eval()
        present = self.val_pictures.present_class_ids()
        # the metric's own check would refuse a single class
        metric = MultilabelAveragePrecision(len(present), validate_args=False).to(self.fabric.device)
        for batch in self._validation_batches():
            scores, labels = (values[:, present] for values in self._scores(batch))
            # left to itself the metric guesses batch by batch whether scores are logits
            metric.update(scores.sigmoid(), labels.int())
        return float(metric.compute())

    def _scores(self, batch: Item) -> tuple[Tensor, Tensor]:
        inputs, labels = self.fabric.to_device(batch)
        if self.cache is None:
            inputs = normalise(inputs, self.network.backbone.mean, self.network.backbone.std)
        else:
            inputs = inputs.float().contiguous(memory_format=torch.channels_last)
        return class_scores(self.aggregation, *self.model(inputs)), labels
