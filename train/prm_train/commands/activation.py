"""``prm-train activation CHECKPOINT``: a picture of what a class responds to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prm_runtime.console import PrmError

GAP = 8
"""Pixels of white between the pictures of several checkpoints."""


def activation(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Folders of prm-train --out; several stand side by side, in the order given.",
            show_default=False,
        ),
    ],
    class_name: Annotated[str, typer.Option("--class", help="Name of the class.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture, a .png file.", show_default=False)],
    size: Annotated[int, typer.Option(min=32, help="Side of a picture in pixels, a multiple of 32.")] = 320,
    steps: Annotated[int, typer.Option(min=1, help="Steps of gradient ascent.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all randomness.")] = 0,
) -> None:
    """Maximise the activation of a class: draw the picture that it responds to most (Fig. 4 of the paper).

    A checkpoint trained with peak stimulation beside one without shows what each has learned.

    Example: prm-train activation runs/average runs/voc20-lite0 --class dog --out dog.png
    """
    if size % 32:
        raise PrmError(f"--size must be a multiple of 32, found {size}")
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise PrmError(f"--out must be a .png file in a folder that exists, found {out}")

    # torch takes seconds to import: --help and mistakes in the options need not wait for it
    import numpy as np
    from PIL import Image

    from prm_train.activation import ActivationSettings, maximise_activation
    from prm_train.aggregation import create_aggregation
    from prm_train.checkpoint import load_checkpoint

    loaded = [load_checkpoint(checkpoint) for checkpoint in checkpoints]
    for checkpoint, (_, config) in zip(checkpoints, loaded, strict=True):
        if class_name not in config.classes:
            raise PrmError(
                f"{checkpoint} knows no class '{class_name}'; it knows {', '.join(config.classes)}"
            )
    settings = ActivationSettings(size=size, steps=steps, seed=seed)
    panels = []
    for checkpoint, (model, config) in zip(checkpoints, loaded, strict=True):
        options = dict(config.aggregation)
        aggregation = create_aggregation(options.pop("name"), **options)
        class_id = config.classes.index(class_name)
        found = maximise_activation(model, aggregation, class_id, config.mean, config.std, settings)
        typer.echo(
            f"{checkpoint} ({config.backbone}, {config.aggregation['name']}): score of {class_name} "
            f"{found.before:.1f} for noise, {found.after:.1f} for the picture"
        )
        panels += [found.image, np.full((size, GAP, 3), 255, np.uint8)]
    Image.fromarray(np.concatenate(panels[:-1], axis=1)).save(out)
