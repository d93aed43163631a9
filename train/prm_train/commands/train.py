"""``prm-train``: train a classifier with peak stimulation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from prm_runtime.console import PrmError

RECIPE = "Recipe (override --config)"
HARDWARE = "Hardware"
BACKBONE_HELP = "efficientnet_lite0, _lite1 or _lite2, resnet18, resnet34 or resnet50, or vgg16."


def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="VOC or COCO tree, or a folder of pictures with labels.csv ('file,label;label' a line)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoint, logs and resume state.")],
    config: Annotated[
        Path | None, typer.Option(help="Recipe file (TOML), such as train/recipes/*.toml.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    val_split: Annotated[
        str | None, typer.Option(help="Split for the classification mAP after each epoch.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Class names by class id, separated by commas. Default: the data set's own."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    backbone: Annotated[str | None, typer.Option(help=BACKBONE_HELP, rich_help_panel=RECIPE)] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Pretrained weights: 'package' (installed), 'none', or a .safetensors or .pth file.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    aggregation: Annotated[
        str | None,
        typer.Option(
            help="Scores from maps: peak, average, max, lse, maxmin or spn.", rich_help_panel=RECIPE
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.", rich_help_panel=RECIPE)] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pictures per step and device.", rich_help_panel=RECIPE)
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Side of the square input, a multiple of 32.", rich_help_panel=RECIPE)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate of the backbone.", rich_help_panel=RECIPE)
    ] = None,
    head_learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate of the classifier.", rich_help_panel=RECIPE)
    ] = None,
    frozen_blocks: Annotated[
        int | None,
        typer.Option(help="Leave so many of the lowest blocks as they are.", rich_help_panel=RECIPE),
    ] = None,
    frozen_backbone: Annotated[
        bool | None,
        typer.Option(
            help="Leave the whole backbone as it is, the classifier alone learns.", rich_help_panel=RECIPE
        ),
    ] = None,
    cached_views: Annotated[
        int | None,
        typer.Option(
            help="Compute the frozen part once for so many views of each picture; 0 keeps nothing.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.", rich_help_panel=RECIPE)] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed.", rich_help_panel=RECIPE)
    ] = None,
    accelerator: Annotated[
        str, typer.Option(help="cpu, cuda, mps or auto.", rich_help_panel=HARDWARE)
    ] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of devices.", rich_help_panel=HARDWARE)] = 1,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode pictures.", rich_help_panel=HARDWARE)
    ] = min(4, os.cpu_count() or 1),
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of cached features; runs that freeze the same share it. Default: OUT/features.",
            rich_help_panel=HARDWARE,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a classifier with peak stimulation from image-level labels alone.

    Writes model.safetensors and config.json into --out, for prm-export. A killed run goes on with --resume
    and ends where an unbroken one would have.

    Example: prm-train VOC2012 --config train/recipes/voc20-lite0.toml --val-split val --out runs/voc20-lite0
    """
    # torch takes seconds to import: --help and mistakes in the options need not wait for it
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    from prm_evaluation.datasets import check_dataset, open_dataset
    from prm_train.config import read_recipe
    from prm_train.loop import RunSettings, Trainer
    from prm_train.memory import keep_freed_memory

    keep_freed_memory()
    overrides = {
        "backbone": backbone,
        "weights": weights,
        "aggregation": aggregation,
        "epochs": epochs,
        "batch_size": batch_size,
        "input_size": input_size,
        "learning_rate": learning_rate,
        "head_learning_rate": head_learning_rate,
        "frozen_blocks": frozen_blocks,
        "frozen_backbone": frozen_backbone,
        "cached_views": cached_views,
        "seed": seed,
        "precision": precision,
    }
    recipe = read_recipe(config, overrides)
    names = tuple(name.strip() for name in classes.split(",") if name.strip()) if classes else None
    train_set = open_dataset(data, split, names)
    check_dataset(train_set)
    val_set = None if val_split is None else open_dataset(data, val_split, train_set.classes)
    if val_set is not None:
        check_dataset(val_set, every_class=False)

    out.mkdir(parents=True, exist_ok=True)
    loggers = [
        CSVLogger(out, name="csv", flush_logs_every_n_steps=1),
        TensorBoardLogger(out, name="tensorboard"),
    ]
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, precision=recipe.precision, loggers=loggers)
    except (ValueError, RuntimeError, ImportError) as error:
        raise PrmError(f"--accelerator, --devices or --precision cannot be had here: {error}") from error
    fabric.launch()
    settings = RunSettings(out, workers, resume, f"{data.resolve().name} {split}", cache)
    Trainer(fabric, recipe, train_set, val_set, settings).run()
