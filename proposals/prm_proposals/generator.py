"""The proposal generator: superpixels, merge trees over several cues, candidates, suppression."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.candidates import tree_candidates
from prm_proposals.gallery import Gallery
from prm_proposals.merging import merge_tree
from prm_proposals.picture import Picture, ProposalError
from prm_proposals.regions import RegionGraph, region_graph
from prm_proposals.settings import ProposalSettings, TreeSettings
from prm_proposals.shrink import shrink
from prm_proposals.superpixels import superpixels
from prm_proposals.suppression import node_bits, suppress

_CANDIDATES_PER_PROPOSAL = 3


class ProposalGenerator:
    """Makes a gallery of segment proposals for a picture.

    Example:
        >>> from skimage.data import chelsea
        >>> generator = ProposalGenerator()
        >>> gallery = generator.propose(generator.regions(chelsea()))
        >>> gallery.members.shape[0] <= 1000
        True
    """

    def __init__(
        self, settings: ProposalSettings | None = None, available: Collection[str] | None = None
    ) -> None:
        """Check the settings.

        Args:
            settings: What to build; by default trees that need no network.
            available: Names of the feature maps that :meth:`propose` will be given, to check ``settings``
                against now; unchecked without.

        Raises:
            ProposalError: If a tree needs a feature map that is not ``available``, or there is no tree.
        """
        self.settings = settings or ProposalSettings()
        if not self.settings.trees:
            raise ProposalError("proposal settings need at least one tree, got none")
        if available is not None:
            self._require(available)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all feature maps that the trees need."""
        return tuple(dict.fromkeys(name for tree in self.settings.trees for name in tree.features))

    def regions(self, image: NDArray[np.uint8]) -> RegionGraph:
        """Superpixels of a picture on a grid whose long side is ``settings.long_side``.

        Args:
            image: RGB, uint8 [H, W, 3], any size.

        Raises:
            ProposalError: If ``image`` is not of that type and shape.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ProposalError(f"image must be RGB uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        height, width = image.shape[:2]
        zoom = self.settings.long_side / max(height, width)
        rows, columns = max(1, round(height * zoom)), max(1, round(width * zoom))
        if zoom < 1:
            small = shrink(image, rows, columns)
        else:
            resized = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
            small = np.asarray(resized, dtype=np.uint8)
        labels = superpixels(small, self.settings.superpixel_scale, self.settings.superpixel_min_size)
        return region_graph(small, labels)

    def propose(
        self, graph: RegionGraph, features: Mapping[str, NDArray[np.float32]] | None = None
    ) -> Gallery:
        """Proposals on the superpixels of ``graph``, best first.

        Args:
            graph: What :meth:`regions` returned.
            features: Feature maps by name, float32 [D, h', w'], each covering the whole picture.

        Raises:
            ProposalError: If a tree needs a feature map that is not given.
        """
        features = features or {}
        self._require(features)
        pooled = {name: graph.pooling.means(features[name]) for name in self.feature_names}
        pixels = float(graph.labels.size)
        settings = self.settings
        bits, parts, areas, ranks = [], [], [], []
        nodes = 0
        for tree_settings in settings.trees:
            cues = _cues(graph, tree_settings, pooled)
            tree = merge_tree(graph, cues, tree_settings.boundary, tree_settings.size_power)
            candidates = tree_candidates(tree, settings.min_area * pixels, settings.max_area * pixels)
            bits.append(node_bits(graph.count, tree.children))
            parts.append(candidates.parts + np.int32(nodes))
            areas.append(candidates.areas)
            ranks.append(candidates.ranks)
            nodes += len(tree.sizes)
        members = _best(
            np.concatenate(bits),
            np.concatenate(parts),
            np.concatenate(areas),
            np.concatenate(ranks),
            graph.sizes,
            settings,
        )
        return Gallery(graph.labels, members)

    def __call__(self, picture: Picture) -> Gallery:
        """:meth:`propose` as a :class:`~prm_proposals.picture.ProposalSource`."""
        return self.propose(picture.graph, picture.features)

    def _require(self, available: Collection[str]) -> None:
        missing = [name for name in self.feature_names if name not in available]
        if missing:
            raise ProposalError(
                f"the proposal trees need feature maps {missing}, but only {sorted(available)} are given; "
                "use prm_proposals.presets.NO_NETWORK or export a model with these outputs"
            )


def _cues(
    graph: RegionGraph, tree: TreeSettings, pooled: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """What each superpixel looks like to one tree, float32 [K, D]."""
    parts = [pooled[name] for name in tree.features]
    if tree.lab:
        parts.append(np.float32(tree.lab) * graph.lab)
    return np.concatenate(parts, axis=1) if parts else np.zeros((graph.count, 0), np.float32)


def _best(
    bits: NDArray[np.uint8],
    parts: NDArray[np.int32],
    areas: NDArray[np.float32],
    ranks: NDArray[np.float32],
    sizes: NDArray[np.float32],
    settings: ProposalSettings,
) -> NDArray[np.bool_]:
    """Superpixels of the candidates of highest rank that are no near-duplicates, bool [N, K].

    A gallery is full long before the last candidate: so many are sorted that it nearly always is.
    """
    enough = _CANDIDATES_PER_PROPOSAL * settings.max_proposals
    while True:
        some = np.arange(len(ranks))
        if enough < len(ranks):
            some = np.flatnonzero(ranks >= np.partition(ranks, -enough)[-enough])
        order = some[np.argsort(-ranks[some], kind="stable")]
        _, members = suppress(
            bits, parts[order], areas[order], sizes, settings.suppression_iou, settings.max_proposals
        )
        if len(members) == settings.max_proposals or len(some) == len(ranks):
            return members
        enough = len(ranks)
