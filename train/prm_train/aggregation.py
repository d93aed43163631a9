"""Ways to turn class response maps into class scores: peak stimulation and what the paper compares it to."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from prm_runtime.console import PrmError
from prm_train.soft_proposal import SoftProposal
from prm_train.stimulation import PeakStimulation


class AveragePooling(nn.Module):
    """Global average pooling, as in CAM."""

    def forward(self, M: Tensor) -> Tensor:
        """Map M [N, C, h, w] to scores s [N, C]."""
        return M.mean((-2, -1))


class MaxPooling(nn.Module):
    """Global max pooling, as in DeepMIL."""

    def forward(self, M: Tensor) -> Tensor:
        """Map M [N, C, h, w] to scores s [N, C]."""
        return M.amax((-2, -1))


class LogSumExp(nn.Module):
    """log of the mean of exp(r M), over r: between the average (r → 0) and the maximum (r → ∞)."""

    def __init__(self, r: float = 4.0) -> None:
        super().__init__()
        if not 0 < r < math.inf:
            raise PrmError(f"log-sum-exp needs a positive, finite sharpness r, found {r}")
        self.r = r

    def forward(self, M: Tensor) -> Tensor:
        """Map M [N, C, h, w] to scores s [N, C]."""
        cells = M.flatten(-2)
        return (torch.logsumexp(self.r * cells, -1) - math.log(cells.shape[-1])) / self.r


class MaxMinPooling(nn.Module):
    """Mean of the k⁺ highest cells plus α times the mean of the k⁻ lowest, as in WILDCAT.

    Args:
        k_plus: Share of the map's cells taken as highest, in (0, 1]; at least one cell.
        k_minus: Share of the map's cells taken as lowest, in (0, 1]; at least one cell.
        alpha: Weight of the lowest cells.
    """

    def __init__(self, k_plus: float = 0.2, k_minus: float = 0.2, alpha: float = 0.7) -> None:
        super().__init__()
        if not (0 < k_plus <= 1 and 0 < k_minus <= 1):
            raise PrmError(f"max-min pooling needs shares in (0, 1], found k+ {k_plus} and k- {k_minus}")
        self.k_plus = k_plus
        self.k_minus = k_minus
        self.alpha = alpha

    def forward(self, M: Tensor) -> Tensor:
        """Map M [N, C, h, w] to scores s [N, C]."""
        cells = M.flatten(-2)
        highest = cells.topk(_count(self.k_plus, cells.shape[-1])).values
        lowest = cells.topk(_count(self.k_minus, cells.shape[-1]), largest=False).values
        return highest.mean(-1) + self.alpha * lowest.mean(-1)


def _count(share: float, cells: int) -> int:
    return max(1, round(share * cells))


AGGREGATIONS: dict[str, Callable[..., nn.Module]] = {
    "peak": PeakStimulation,
    "average": AveragePooling,
    "max": MaxPooling,
    "lse": LogSumExp,
    "maxmin": MaxMinPooling,
    "spn": SoftProposal,
}


def create_aggregation(name: str, /, **options: Any) -> nn.Module:
    """Create an aggregation that maps M [N, C, h, w] to s [N, C]; :func:`class_scores` applies any of them.

    Args:
        name: "peak" (Eq. 2), "average" (CAM), "max" (DeepMIL), "lse", "maxmin" (WILDCAT) or "spn".
        **options: The aggregation's own parameters.

    Raises:
        PrmError: If the name or an option is unknown, or an option's value is out of range.

    Example:
        >>> create_aggregation("peak", window=5, filter="mean")
        PeakStimulation()
    """
    if name not in AGGREGATIONS:
        raise PrmError(f"unknown aggregation '{name}': choose one of {', '.join(AGGREGATIONS)}")
    try:
        return AGGREGATIONS[name](**options)
    except TypeError as error:
        raise PrmError(f"aggregation '{name}' does not take these options ({error})") from None


def class_scores(aggregation: nn.Module, M: Tensor, U: Tensor) -> Tensor:
    """Class scores s [N, C] of maps M [N, C, h, w] and the features U [N, K, h, w] under their classifier.

    Soft proposals look at the features, all other aggregations at the maps alone.
    """
    s: Tensor = aggregation(M, U) if isinstance(aggregation, SoftProposal) else aggregation(M)
    return s


def aggregation_settings(name: str, /, **options: Any) -> dict[str, Any]:
    """The aggregation's name with all its options, defaults included, as checkpoints record them.

    Example:
        >>> aggregation_settings("peak", window=5)
        {'name': 'peak', 'window': 5, 'filter': 'median'}
    """
    create_aggregation(name, **options)
    parameters = inspect.signature(AGGREGATIONS[name]).parameters.values()
    # those without options inherit *args and **kwargs, which have no default
    defaults = {item.name: item.default for item in parameters if item.default is not item.empty}
    return {"name": name} | defaults | options
