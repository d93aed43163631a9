"""Peak stimulation (Section 3.2, Eq. 1-3): class scores from the local maxima of the class response maps."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prm_runtime.console import PrmError

PeakFilter = Literal["median", "mean", "none"]


def find_peaks(M: Tensor, window: int = 3) -> Tensor:
    """Mark the peaks of each map: the maxima of their window, one per window also on ties.

    A cell is a peak if it equals the maximum of the window around it (clipped at the border) and no cell
    before it in row-major order inside that window is such a maximum too.

    Args:
        M: Class response maps, float [N, C, h, w].
        window: Side of the square window in cells, odd.

    Returns:
        bool [N, C, h, w].
    """
    maxima = F.max_pool2d(M, window, 1, window // 2) == M
    h, w = M.shape[-2:]
    rank = torch.arange(h * w, 0, -1, device=M.device, dtype=torch.float32).view(h, w) * maxima
    return maxima & (rank == F.max_pool2d(rank, window, 1, window // 2))


def find_valid_peaks(M: Tensor, window: int = 3, peak_filter: PeakFilter = "median") -> Tensor:
    """Mark the peaks that reach the median (the lower of two) or the mean of their map, or all peaks.

    The highest peak of a map is always valid.

    Returns:
        bool [N, C, h, w], at least one cell of each map is true.
    """
    peaks = find_peaks(M, window)
    if peak_filter == "none":
        return peaks
    cells = M.flatten(-2)
    threshold = cells.median(-1).values if peak_filter == "median" else cells.mean(-1)
    # the mean of equal values may be rounded above all of them
    threshold = torch.minimum(threshold, cells.amax(-1))
    return peaks & (threshold[..., None, None] <= M)


class _PeakStimulation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, M: Tensor, window: int, peak_filter: PeakFilter) -> Tensor:
        G = find_valid_peaks(M, window, peak_filter)  # Eq. 1, f being Dirac's delta
        N = G.sum((-2, -1))
        ctx.save_for_backward(G, N)
        return (M * G).sum((-2, -1)) / N  # Eq. 2

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        G, N = ctx.saved_tensors
        (grad_s,) = grad_outputs
        return (grad_s / N)[..., None, None] * G, None, None  # Eq. 3


class PeakStimulation(nn.Module):
    """Aggregate class response maps to class scores: the mean over each map's valid peaks (Eq. 2).

    The gradient goes to the valid peaks alone, 1/N to each (Eq. 3).

    Args:
        window: Side of the square window a peak is the maximum of, in cells of the map; odd.
        filter: Valid peaks reach the median or the mean of their map; "none" takes all.

    Raises:
        PrmError: If the window is no odd integer or the filter unknown.

    Example:
        >>> PeakStimulation(window=3)(torch.tensor([[[[0.0, 4.0, 0.0, 0.0, 2.0]]]]))
        tensor([[3.]])
    """

    def __init__(self, window: int = 3, filter: PeakFilter = "median") -> None:  # noqa: A002
        super().__init__()
        if not isinstance(window, int) or window < 1 or window % 2 == 0:
            raise PrmError(f"the peak window must be an odd, positive integer, found {window}: use 3 or 5")
        if filter not in get_args(PeakFilter):
            raise PrmError(f"unknown peak filter '{filter}': use one of {', '.join(get_args(PeakFilter))}")
        self.window = window
        self.filter: PeakFilter = filter

    def forward(self, M: Tensor) -> Tensor:
        """Map M [N, C, h, w] to scores s [N, C]."""
        s: Tensor = _PeakStimulation.apply(M, self.window, self.filter)  # type: ignore[no-untyped-call]
        return s
