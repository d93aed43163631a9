"""Selective search (Uijlings et al., IJCV 2013) with the similarities of OpenCV's contrib modules.

OpenCV's own ``SelectiveSearchSegmentation`` returns rectangles only, but its similarities can be asked one by
one: the grouping is done here and keeps the regions themselves. It starts from the superpixels of the frame,
which are of the kind that selective search starts from, so its regions need no fitting to them.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.picture import Picture, ProposalError
from prm_proposals.settings import ProposalSettings
from prm_proposals.suppression import node_bits, suppress

_COLOUR_SPACES = (cv2.COLOR_RGB2HSV, cv2.COLOR_RGB2Lab)


class Similarity(Protocol):
    """How alike two regions are; a region has the number of any superpixel that it was merged from."""

    def get(self, a: int, b: int) -> float:
        """The similarity of regions ``a`` and ``b``."""
        ...

    def merge(self, a: int, b: int) -> None:
        """From now on ``a`` and ``b`` both stand for the union of the two."""
        ...


class Mixture:
    """The equal mixture of OpenCV's similarities of fill, texture and size, and colour if wanted."""

    def __init__(self, image: NDArray[Any], labels: NDArray[np.int32], with_colour: bool) -> None:
        """Measure the superpixels ``labels``, int32 [h, w], of ``image``, uint8 [h, w, 3] in any colours."""
        contrib = cv2.ximgproc.segmentation  # type: ignore[attr-defined]
        create = "createSelectiveSearchSegmentationStrategy"
        parts = ("Fill", "Texture", "Size", "Color") if with_colour else ("Fill", "Texture", "Size")
        similarities = (getattr(contrib, f"{create}{part}")() for part in parts)
        self.strategy = getattr(contrib, f"{create}Multiple")(*similarities)
        self._sizes = np.bincount(labels.ravel()).astype(np.int32)[:, None]
        self.strategy.setImage(image, labels, self._sizes)

    def get(self, a: int, b: int) -> float:
        """See :class:`Similarity`."""
        return float(self.strategy.get(a, b))

    def merge(self, a: int, b: int) -> None:
        """See :class:`Similarity`."""
        self.strategy.merge(a, b)
        # OpenCV keeps a view of the sizes and leaves their update to the caller, after the merge.
        self._sizes[[a, b]] = self._sizes[a] + self._sizes[b]


class SelectiveSearch:
    """Regions of four groupings: colour spaces HSV and Lab, each with and without the similarity of colours.

    These are the diversifications of OpenCV's fast mode, except that it also repeats them on coarser
    superpixels. The merging runs in Python, which takes most of the time.
    """

    feature_names: tuple[str, ...] = ()

    def __init__(self, settings: ProposalSettings | None = None) -> None:
        """Check that OpenCV's contrib modules are there.

        Args:
            settings: Its areas, ``suppression_iou`` and ``max_proposals`` apply; the trees do not.

        Raises:
            ProposalError: If they are not.
        """
        self.settings = settings or ProposalSettings()
        if not hasattr(cv2, "ximgproc"):
            raise ProposalError(
                f"selective search needs OpenCV's contrib modules, which OpenCV {cv2.__version__} has not; "
                "run: pip uninstall -y opencv-python && pip install opencv-contrib-python"
            )

    def __call__(self, picture: Picture) -> Gallery:
        """Regions, those that were merged last first; see :class:`~prm_proposals.picture.ProposalSource`."""
        graph, settings = picture.graph, self.settings
        height, width = graph.labels.shape
        small = cv2.resize(picture.image, (width, height), interpolation=cv2.INTER_AREA)
        trees = [
            group(Mixture(cv2.cvtColor(small, space), graph.labels, with_colour), graph.edges, graph.count)
            for space in _COLOUR_SPACES
            for with_colour in (True, False)
        ]
        bits = np.concatenate([node_bits(graph.count, children)[graph.count :] for children in trees])
        areas = np.unpackbits(bits, axis=1, count=graph.count, bitorder="little") @ graph.sizes
        from_top = np.concatenate([np.arange(len(children))[::-1] for children in trees])
        order = np.argsort(from_top, kind="stable")
        share = areas[order] / graph.labels.size
        kept = order[(share >= settings.min_area) & (share <= settings.max_area)].astype(np.int32)
        _, members = suppress(
            bits,
            kept[:, None],
            areas[kept],
            graph.sizes,
            settings.suppression_iou,
            settings.max_proposals,
        )
        return Gallery(graph.labels, members)


def group(similarity: Similarity, edges: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Merge the two most similar neighbours until nothing is adjacent; of equals those of the lowest numbers.

    Args:
        similarity: Of the superpixels.
        edges: Neighbouring superpixels (i, j) with i < j, int32 [E, 2].
        count: Number of superpixels, K.

    Returns:
        The two nodes that node K + m joins, int32 [M, 2]; nodes 0..K-1 are the superpixels.
    """
    neighbours: dict[int, set[int]] = {node: set() for node in range(count)}
    superpixel = list(range(count))  # one of each node
    queue = []
    for i, j in edges.tolist():
        neighbours[i].add(j)
        neighbours[j].add(i)
        queue.append((-similarity.get(i, j), i, j))
    heapify(queue)
    children = []
    while queue:
        _, i, j = heappop(queue)
        if i not in neighbours or j not in neighbours:
            continue
        similarity.merge(superpixel[i], superpixel[j])
        union = len(superpixel)
        superpixel.append(superpixel[i])
        children.append((i, j))
        around = (neighbours.pop(i) | neighbours.pop(j)) - {i, j}
        neighbours[union] = around
        for node in around:
            neighbours[node] -= {i, j}
            neighbours[node].add(union)
            heappush(queue, (-similarity.get(superpixel[node], superpixel[union]), node, union))
    return np.array(children, np.int32).reshape(-1, 2)
