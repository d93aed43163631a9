"""What the file of a foreign classifier does not say: the user's word for it, or what is assumed."""

from __future__ import annotations

import numpy as np

from prm_export.errors import ExportError
from prm_export.intake.classifier import Foreign
from prm_export.material import Material
from prm_runtime.manifest import Preprocessing

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
USUAL_SIZE = 448


def normalisation(mean: str | None, std: str | None) -> Preprocessing:
    """What ``--mean`` and ``--std`` say, with ImageNet's where they say nothing.

    Raises:
        ExportError: If they are no numbers, or not those of pixels 0..255.
    """
    divisors = IMAGENET_STD if std is None else _numbers("--std", std)
    if min(divisors) < 1:
        raise ExportError(
            f"--std is in pixel values 0..255, found {min(divisors)}: multiply mean and std by 255 if "
            "they are meant for pixels 0..1"
        )
    subtracted = IMAGENET_MEAN if mean is None else _numbers("--mean", mean)
    return Preprocessing(size=USUAL_SIZE, mean=subtracted, std=divisors)


def assumptions(foreign: Foreign, material: Material) -> str:
    """One line on what the file does not say."""
    settings, head = material.preprocessing, foreign.head
    mean, std = (", ".join(f"{number:g}" for number in numbers) for numbers in (settings.mean, settings.std))
    scores = {"Sigmoid": "a sigmoid per class", None: "logits, taken as those of a softmax"}
    return (
        f"assumed: RGB, (pixel - [{mean}]) / [{std}], {settings.size} px (--mean, --std, --size); found: "
        f"{len(material.classes)} classes, {head.pooling or 'no'} pooling, "
        f"{scores.get(head.probabilities, 'a softmax')}"
    )


def _numbers(option: str, text: str) -> tuple[float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise ExportError(f"{option} takes one number or three separated by commas, found '{text}'")
    return numbers[0], numbers[1], numbers[2]
