"""What OpenCV's contrib modules offer as segment proposals, to measure ours beside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.generator import ProposalGenerator
from prm_proposals.picture import Picture
from prm_proposals.selective_search import SelectiveSearch
from prm_proposals.settings import ProposalSettings

_SCALES = (1600.0, 800.0, 400.0, 200.0, 100.0, 50.0)
_COLOUR_SPACES = (None, cv2.COLOR_RGB2HSV, cv2.COLOR_RGB2Lab)
_MIN_SIZE = 20
_MIN_AREA, _MAX_AREA = 0.001, 0.9


def available() -> bool:
    """Whether OpenCV's contrib modules are installed."""
    return hasattr(cv2, "ximgproc")


def graph_segmentation(image: NDArray[np.uint8]) -> list[Gallery]:
    """The segments of 6 scales × 3 colour spaces on a grid of 320 px, the coarsest first.

    Args:
        image: RGB, uint8 [H, W, 3].
    """
    zoom = 320 / max(image.shape[:2])
    grid = (round(image.shape[1] * zoom), round(image.shape[0] * zoom))
    small = cv2.resize(image, grid, interpolation=cv2.INTER_AREA)
    spaces = [small if code is None else cv2.cvtColor(small, code) for code in _COLOUR_SPACES]
    galleries = []
    for scale in _SCALES:
        method = cv2.ximgproc.segmentation.createGraphSegmentation(0.5, scale, _MIN_SIZE)
        for space in spaces:
            labels = method.processImage(space)
            share = np.bincount(labels.ravel()) / labels.size
            wanted = np.flatnonzero((share >= _MIN_AREA) & (share <= _MAX_AREA))
            galleries.append(Gallery(labels, np.arange(len(share)) == wanted[:, None]))
    return galleries


def selective_search(image: NDArray[np.uint8]) -> list[Gallery]:
    """Regions of selective search with OpenCV's similarities (:mod:`prm_proposals.selective_search`)."""
    settings = ProposalSettings(max_proposals=3000)
    graph = ProposalGenerator(settings).regions(image)
    return [SelectiveSearch(settings)(Picture(image, graph, {}))]
