"""The training loop: Lightning Fabric carries devices, processes and precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics.classification import MultilabelAveragePrecision

from prm_evaluation.datasets import Dataset
from prm_runtime.console import PrmError, stderr
from prm_runtime.manifest import Preprocessing
from prm_train.aggregation import create_aggregation
from prm_train.augment import augment, fit
from prm_train.backbones import create_backbone
from prm_train.batches import SameSizeBatches
from prm_train.config import Recipe
from prm_train.data import Item, LabelledPictures, batch_loader, input_sizes, normalise
from prm_train.fcn import FullyConvolutional
from prm_train.finish import write_checkpoint
from prm_train.resume import restore_state, save_state
from prm_train.weights import load_weights

LOG_EVERY = 10


@dataclass(frozen=True)
class RunSettings:
    """What a run needs beside recipe and data, and what must not change its result.

    Attributes:
        out: Folder of the checkpoint, the logs and the state to resume from.
        workers: Processes that decode pictures.
        resume: Whether to go on from the last finished epoch.
        data_name: What the checkpoint's provenance calls the data.
    """

    out: Path
    workers: int
    resume: bool
    data_name: str


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
        self.network = _create_network(recipe, len(self.classes))
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
        self.train_pictures = LabelledPictures(train_set, augmented, recipe.seed)
        self.train_batches = batches(input_sizes(train_set, preprocessing), seed=recipe.seed)
        self.steps = len(self.train_batches)
        self.tap_pictures = LabelledPictures(train_set, plain)
        if val_set is not None:
            self.val_pictures = LabelledPictures(val_set, plain)
            self.val_batches = batches(input_sizes(val_set, preprocessing))

        optimizer, self.scheduler = _create_optimizer(recipe, self.network, self.steps)
        self.model, self.optimizer = fabric.setup(self.network, optimizer)
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
        while self.state["epoch"] < self.recipe.epochs:
            epoch: int = self.state["epoch"]
            metrics = {"loss": self._train_epoch(epoch)}
            if self.validates:
                metrics["classification_map"] = self._validate()
            self.state |= {"epoch": epoch + 1, "metrics": metrics}
            self.fabric.log_dict(metrics, step=(epoch + 1) * self.steps)
            save_state(self.fabric, self.settings.out, self.state, self.recipe, self.classes)
            figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            self._say(f"epoch {epoch + 1}/{self.recipe.epochs}: {figures}")
        if self.fabric.is_global_zero:
            provenance = {
                "data": self.settings.data_name,
                "pictures": len(self.train_pictures),
                "epochs": self.state["epoch"],
                "metrics": self.state["metrics"],
            }
            write_checkpoint(
                self.settings.out, self.network, self.recipe, self.classes, self.tap_pictures, provenance
            )
        self.fabric.barrier()
        self._say(f"wrote {self.settings.out}")

    def _train_epoch(self, epoch: int) -> float:
        # every epoch starts from a seed of its own: nothing that ran before can matter to a resumed run
        self.fabric.seed_everything(self.recipe.seed + epoch, verbose=False)
        self.train_pictures.epoch = epoch
        self.train_batches.epoch = epoch
        batches = batch_loader(self.train_pictures, self.train_batches, self.settings.workers)
        self.model.train()
        total = 0.0
        with _progress(enabled=self.fabric.is_global_zero) as progress:
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

    def _train_step(self, batch: Item) -> float:
        pictures, labels = self._to_device(batch)
        loss = F.binary_cross_entropy_with_logits(self.aggregation(self.model(pictures)), labels)
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
        for batch in batch_loader(self.val_pictures, self.val_batches, self.settings.workers):
            inputs, labels = self._to_device(batch)
            scores = self.aggregation(self.model(inputs))[:, present]
            # left to itself the metric guesses batch by batch whether scores are logits
            metric.update(scores.sigmoid(), labels[:, present].int())
        return float(metric.compute())

    def _to_device(self, batch: Item) -> tuple[Tensor, Tensor]:
        pictures, labels = self.fabric.to_device(batch)
        return normalise(pictures, self.network.backbone.mean, self.network.backbone.std), labels

    def _say(self, text: str) -> None:
        if self.fabric.is_global_zero:
            stderr.print(text, highlight=False)


def _create_network(recipe: Recipe, num_classes: int) -> FullyConvolutional:
    network = FullyConvolutional(create_backbone(recipe.backbone), num_classes)
    load_weights(network, recipe.backbone, recipe.weights)
    keeps_statistics = recipe.frozen_statistics and recipe.weights != "none"
    network.backbone.freeze(recipe.frozen_blocks, statistics=keeps_statistics)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _create_optimizer(recipe: Recipe, network: FullyConvolutional, steps: int) -> tuple[SGD, OneCycleLR]:
    trained = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": trained}, {"params": network.classifier.parameters()}]
    rates = [recipe.learning_rate, recipe.head_learning_rate]
    optimizer = SGD(groups, lr=rates[0], momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimizer, rates, total_steps=recipe.epochs * steps, cycle_momentum=False)
    return optimizer, schedule


def _progress(*, enabled: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        console=stderr,
        disable=not (enabled and stderr.is_terminal),
        transient=True,
    )
