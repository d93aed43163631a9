"""The inference published with the paper, ported to today's torch, on a bundle's network and proposals.

As https://github.com/ZhouYanzhao/PRM does it: every convolution is patched, each peak is a backward pass of
its own down to the pixels, and each peak goes through the first 100 proposals in a Python loop (resizing,
contour by OpenCV, three masked sums), then mask NMS. In its favour: batch norms are folded into the
convolutions, OpenCV resizes in place of SciPy's imresize, and making the proposals does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import cv2
import numpy as np
import onnx
import torch
from benchmarks.torch_graph import TorchGraph
from numpy.typing import NDArray
from tests.oracles.published_code import patch
from torch import Tensor
from torch.nn import functional as F

from prm_proposals.settings import Eq6Settings

PROPOSALS, WINDOW = 100, 3
SIZE_LIMITS = (0.00002, 0.85)
NMS_IOU = 0.3
Instance = tuple[float, int, NDArray[np.bool_], NDArray[np.float32]]


class PublishedInference:
    """From a network's input to masks.

    Example:
        >>> published = PublishedInference(classifier, Eq6Settings())
        >>> instances, seconds = published(image, peaks, gallery.masks(range(100)))
    """

    def __init__(self, classifier: onnx.ModelProto, settings: Eq6Settings) -> None:
        """Build the network; ``classifier`` maps ``image`` to ``class_maps``."""
        self._network = TorchGraph(classifier)
        patch(self._network)
        self._settings = settings

    def __call__(
        self, image: NDArray[np.float32], peaks: NDArray[np.int64], proposals: NDArray[np.bool_]
    ) -> tuple[list[Instance], dict[str, float]]:
        """Masks of some peaks.

        Args:
            image: float32 [1, 3, H, W].
            peaks: Class, row and column of each, int64 [P, 3].
            proposals: bool [N, h, w].

        Returns:
            Instances (score, class, mask and PRM at the size of ``image``) and seconds per stage.
        """
        start = perf_counter()
        x = torch.from_numpy(image).requires_grad_()
        M = self._network(x)
        _find_peaks(M.detach())
        after_forward = perf_counter()
        prms = [_response(M, x, peak) for peak in peaks.tolist()]
        after_backward = perf_counter()
        found = self._retrieve(M.detach().numpy()[0], peaks, prms, proposals)
        end = perf_counter()
        return found, {
            "forward": after_forward - start,
            "back-propagation": after_backward - after_forward,
            "retrieval": end - after_backward,
            "total": end - start,
        }

    def _retrieve(
        self,
        M: NDArray[np.float32],
        peaks: NDArray[np.int64],
        prms: Sequence[NDArray[np.float32]],
        proposals: NDArray[np.bool_],
    ) -> list[Instance]:
        found: list[Instance] = []
        for (class_id, _, _), R in zip(peaks.tolist(), prms, strict=True):
            response = cv2.resize(M[class_id], R.shape[::-1], interpolation=cv2.INTER_CUBIC)
            Q = (response < self._settings.background_bias * response.mean()).astype(np.float32)
            best, chosen = -np.inf, None
            for proposal in proposals[:PROPOSALS]:
                score, mask = self._score(R, Q, proposal)
                if score > best:
                    best, chosen = score, mask
            if chosen is not None:
                found.append((best, class_id, chosen, R))
        return _suppress(sorted(found, key=lambda instance: -instance[0]))

    def _score(
        self, R: NDArray[np.float32], Q: NDArray[np.float32], proposal: NDArray[np.bool_]
    ) -> tuple[float, NDArray[np.bool_]]:
        """Eq. 6 of one proposal, and its mask at the PRM's size."""
        settings = self._settings
        raw = cv2.resize(proposal.astype(np.uint8), R.shape[::-1], interpolation=cv2.INTER_NEAREST)
        square = np.ones((settings.contour_width, settings.contour_width), np.uint8)
        contour = cv2.morphologyEx(raw, cv2.MORPH_GRADIENT, square).astype(bool)
        S = raw.astype(bool)
        if not SIZE_LIMITS[0] * S.size <= S.sum() < SIZE_LIMITS[1] * S.size:
            return -np.inf, S
        penalty = settings.beta / S.size * Q[S].sum()
        return float(settings.alpha * R[S].sum() + R[contour].sum() - penalty), S


def _find_peaks(M: Tensor) -> Tensor:
    """Cells that are the largest of their window and above their map's median, int64 [n, 4]."""
    padded = F.pad(M, [WINDOW // 2] * 4, value=float("-inf"))
    largest = F.max_pool2d(padded, WINDOW, 1)
    median = M.flatten(2).median(dim=2).values[..., None, None]
    return ((largest == M) & (median <= M)).nonzero()


def _response(M: Tensor, x: Tensor, peak: Sequence[int]) -> NDArray[np.float32]:
    """The PRM of a peak at the pixels, float32 [H, W], of sum 1."""
    seed = torch.zeros_like(M)
    seed[0, peak[0], peak[1], peak[2]] = 1
    x.grad = None
    M.backward(seed, retain_graph=True)
    assert x.grad is not None  # noqa: S101
    prm = x.grad[0].sum(0).clamp(min=0)
    found: NDArray[np.float32] = (prm / prm.sum()).numpy()
    return found


def _suppress(instances: list[Instance]) -> list[Instance]:
    kept: list[Instance] = []
    while instances:
        best, *rest = instances
        kept.append(best)
        instances = [
            other
            for other in rest
            if np.logical_and(best[2], other[2]).sum() < NMS_IOU * np.logical_or(best[2], other[2]).sum()
        ]
    return kept
