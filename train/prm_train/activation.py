"""Activation maximisation (Fig. 4 of the paper, after Erhan et al.): the picture that excites a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from prm_train.backbones.base import Rgb
from prm_train.fcn import FullyConvolutional

GREY = 127.5


@dataclass(frozen=True)
class ActivationSettings:
    """How a picture is found. Without the restraints on it, it would be noise that no eye can read.

    Attributes:
        size: Side of the square picture in pixels, a multiple of the backbone's stride.
        steps: Steps of gradient ascent.
        step_size: Mean change of a pixel in the first step, on 0..255; it falls to 0 after the last.
        jitter: Each step sees the picture rolled by up to so many pixels, so that no pattern can settle on
            the network's strides (Mordvintsev et al., 2015).
        blur: Standard deviation in pixels of the blur after the first step; it falls to a third of that
            (Yosinski et al., 2015).
        decay: Share of its distance to grey that a pixel loses in each step: L2 decay.
        seed: Of the noise that it begins with and of the jitter.
    """

    size: int = 320
    steps: int = 200
    step_size: float = 12.0
    jitter: int = 16
    blur: float = 1.0
    decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Activation:
    """A picture and how much the class responds to it.

    Attributes:
        image: RGB, uint8 [size, size, 3].
        before: Class score s_c (Eq. 2) of the noise that it began with, in logits.
        after: Class score of ``image``.
    """

    image: NDArray[np.uint8]
    before: float
    after: float


def maximise_activation(
    model: FullyConvolutional,
    aggregation: nn.Module,
    class_id: int,
    mean: Rgb,
    std: Rgb,
    settings: ActivationSettings,
) -> Activation:
    """Change a picture of noise until the score of one class is high.

    The score is the network's own: with peak stimulation the gradient comes from the peaks of the class's
    map alone (Eq. 3), with average pooling from every cell. Equal arguments give equal pictures.

    Args:
        model: In eval mode; its parameters are left as they are.
        aggregation: From M [N, C, h, w] to s [N, C].
        class_id: The class.
        mean: Of the input, RGB on 0..255.
        std: Of the input, RGB on 0..255.
        settings: How.
    """
    model = model.eval()
    shift, scale = (torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (mean, std))

    def score(picture: Tensor) -> Tensor:
        s: Tensor = aggregation(model((picture - shift) / scale))
        return s[0, class_id]

    random = torch.Generator().manual_seed(settings.seed)
    picture = GREY + 8 * torch.randn(1, 3, settings.size, settings.size, generator=random)
    start = _rounded(picture)
    for step in range(settings.steps):
        by = torch.randint(-settings.jitter, settings.jitter + 1, (2,), generator=random).tolist()
        rolled = picture.roll(by, (-2, -1)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(rolled), rolled)
        gradient = gradient.roll([-way for way in by], (-2, -1))
        left = 1 - step / settings.steps
        picture = picture + left * settings.step_size * gradient / gradient.abs().mean().clamp_min(1e-12)
        picture = GREY + (1 - settings.decay) * (picture - GREY)
        picture = _blurred(picture, settings.blur * (1 + 2 * left) / 3).clamp(0, 255)
    found = _rounded(picture)
    with torch.no_grad():
        before, after = float(score(start)), float(score(found))
    return Activation(found[0].permute(1, 2, 0).to(torch.uint8).numpy(), before, after)


def _rounded(picture: Tensor) -> Tensor:
    return picture.detach().clamp(0, 255).round()


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [N, 3, H, W] with its border mirrored; none below a quarter of a pixel."""
    if sigma < 0.25:
        return picture
    radius = max(1, round(3 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (weights / weights.sum()).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    padded = F.pad(picture, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)
