"""Share kernels that are fitted to exact maps: how a network's probability spreads, learnt from pictures.

Of each picture the live peaks are walked all the way by the oracle. The kernels are then found that split
the sum of their exact maps as they were: with ``q_n`` the share that the kernels give peak n in a cell, and
``p_n`` its probability there, they lower the mean over peaks of the relative entropy
``Σ p_n log(p_n / (q_n Σ_m p_m))``. Labels are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from prm_export.errors import ExportError
from prm_export.oracle import Oracle, of_mass_one, spread, spread_by
from prm_export.passes.shares import SMALLEST_MASS
from prm_export.pipeline import GraphOptions, Graphs
from prm_export.share_kernels import ShareKernels
from prm_proposals.peaks import live_peaks
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend

OUTPUTS = ("peaks", "peak_scores", "class_maps", "class_scores")
GROUPS, LAYERS, SIDE = 8, 3, 5
STEPS, BATCH, RATE = 1000, 8, 0.02
SETTLING = 0.3
"""Share of the steps at the end that are a fifth as large."""


@dataclass(frozen=True)
class Walks:
    """The peaks of one picture, walked one by one.

    Attributes:
        at_split: Their probability where walks would join, [P, C, h, w], each of sum 1.
        at_stop: Their exact Peak Response Maps, float32 [P, h2, w2], each of sum 1.
    """

    at_split: Tensor
    at_stop: Tensor


class PeakWalker:
    """Walks the peaks of pictures one by one, down to where they would join and to the stop.

    Args:
        graphs: The graphs whose peaks share.
        options: What they were built with.
        settings: Say which peaks live.
    """

    def __init__(self, graphs: Graphs, options: GraphOptions, settings: RetrievalSettings) -> None:
        self._oracle = Oracle(graphs.classifier, options.image_minimum, rules=options.rules)
        self._forward = create_backend("onnxruntime").compile(graphs.forward.SerializeToString())
        self._ends = graphs.split or "", graphs.stop
        self._settings = settings

    def __call__(self, image: NDArray[np.float32]) -> Walks | None:
        """The walks of the live peaks of a normalised picture, float32 [1, 3, H, W].

        None if fewer than two live and have evidence: one alone shares with nobody.
        """
        outputs = self._forward.run({"image": image})
        table, responses, M, s = (outputs[name][0] for name in OUTPUTS)
        peaks = table[live_peaks(table, responses, M, s, self._settings)]
        if len(peaks) < 2:
            return None
        values = self._oracle.run(image)
        found = [self._oracle.walk(values, (int(c), int(y), int(x)), *self._ends) for c, y, x in peaks]
        return _walks(
            [(at_split, at_stop) for at_split, at_stop in found if at_split.any() and at_stop.any()]
        )


def _walks(found: Sequence[tuple[Tensor, Tensor]]) -> Walks | None:
    if len(found) < 2:
        return None
    at_split = torch.cat([of_mass_one(P) for P, _ in found]).to(torch.bfloat16)  # takes half the memory
    return Walks(at_split, torch.stack([of_mass_one(P.sum((0, 1))) for _, P in found]))


def misplaced(pictures: Sequence[Walks], kernels: ShareKernels) -> float:
    """The share of a peak's probability that these kernels give to another peak, mean over all peaks."""
    wrong = []
    for walks in pictures:
        with torch.inference_mode():
            shares = _shares(spread(walks.at_split.float(), kernels)[:, 0], walks)
            found = shares * walks.at_stop.sum(0)
            found = found / found.sum((1, 2), keepdim=True).clamp_min(SMALLEST_MASS)
            wrong += ((found - walks.at_stop).abs().sum((1, 2)) / 2).tolist()
    return float(np.mean(wrong))


def fit_shares(pictures: Sequence[Walks], steps: int = STEPS, seed: int = 0) -> Iterator[ShareKernels]:
    """Fit share kernels.

    Args:
        pictures: At least one, from :class:`PeakWalker`.
        steps: How often the kernels are improved.
        seed: Of the order of pictures and of the start.

    Yields:
        The kernels after each step; the last ones are the result.

    Raises:
        ExportError: If there is no picture.
    """
    if not pictures:
        raise ExportError(
            "no picture has two live peaks, so there is nothing to learn shares from: give pictures like "
            "those the network was trained on, and a bundle that prm-eval calibrated"
        )
    random = torch.Generator().manual_seed(seed)
    mix, logarithms = _start(pictures[0].at_split.shape[1], random)
    optimiser = torch.optim.Adam([mix, *logarithms], lr=RATE)
    for step in range(steps):
        if step == round((1 - SETTLING) * steps):
            optimiser.param_groups[0]["lr"] /= 5
        optimiser.zero_grad()
        chosen = torch.randint(len(pictures), (BATCH,), generator=random).tolist()
        loss = torch.stack([_relative_entropy(pictures[n], mix, logarithms) for n in chosen]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        yield _kernels(mix, logarithms)


def _start(channels: int, random: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Logits of the mix [C, G], and logarithms of the kernels: narrow Gaussians, groups nearly apart."""
    mix = 0.3 * torch.randn(channels, GROUPS, generator=random)
    along = torch.arange(SIDE) - SIDE // 2
    narrow = -(along[:, None] ** 2 + along**2) / 1.5
    logarithms = []
    for groups in [GROUPS] * (LAYERS - 1) + [1]:
        noise = 0.05 * torch.randn(groups, GROUPS, 1, 1, generator=random)
        apart = 3.0 * (1 - torch.eye(GROUPS)[:groups]) if groups > 1 else torch.zeros(1, GROUPS)
        logarithms.append((narrow - apart[:, :, None, None] + noise).requires_grad_())
    return mix.requires_grad_(), logarithms


def _relative_entropy(walks: Walks, mix: Tensor, logarithms: Sequence[Tensor]) -> Tensor:
    kernels = [logarithm.exp() for logarithm in logarithms]
    maps = spread_by(walks.at_split.float(), mix.softmax(1), kernels)
    right = walks.at_stop / walks.at_stop.sum(0).clamp_min(SMALLEST_MASS)
    given = _shares(maps[:, 0], walks)
    ratio = right.clamp_min(SMALLEST_MASS).log() - given.clamp_min(SMALLEST_MASS).log()
    return (walks.at_stop * ratio).sum() / len(walks.at_stop)


def _shares(coarse: Tensor, walks: Walks) -> Tensor:
    """What share splitting makes of coarse maps [P, h, w]: shares [P, h2, w2], of sum 1 over peaks."""
    up = F.interpolate((coarse + SMALLEST_MASS)[None], walks.at_stop.shape[1:], mode="bilinear")[0]
    return up / up.sum(0)


def _kernels(mix: Tensor, logarithms: Sequence[Tensor]) -> ShareKernels:
    """The kernels as they are used, each of which keeps the sum of what it is given, on average."""
    weights = [logarithm.detach().exp() for logarithm in logarithms]
    weights = [weight / weight.sum((0, 2, 3)).mean() for weight in weights]
    return ShareKernels(mix.detach().softmax(1).numpy(), tuple(weight.numpy() for weight in weights))
