"""Candidate proposals of a merge tree and their rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prm_proposals.merging import MergeTree

_AREA_WEIGHT = 0.2
_PERIMETER_WEIGHT = 0.1
_PAIR_PENALTY = 0.2


@dataclass(frozen=True)
class Candidates:
    """Nodes of a tree (both columns of ``pairs`` alike) and unions of two of its nodes.

    Attributes:
        pairs: The two nodes of each candidate, int32 [N, 2].
        areas: Pixels, float32 [N].
        ranks: Higher is better, float32 [N].
    """

    pairs: NDArray[np.int32]
    areas: NDArray[np.float32]
    ranks: NDArray[np.float32]


def tree_candidates(tree: MergeTree, min_pixels: float, max_pixels: float) -> Candidates:
    """All nodes, and all pairs that would have been merged before one of the two was merged elsewhere.

    A region that survives long (high ``h``, the height at which it disappears) with a short outline is more
    likely an object: ``rank = log(h / median h) − .2·log(area) − .1·perimeter/√area − .2·[pair]``.

    Args:
        tree: Merge tree.
        min_pixels: Smallest area.
        max_pixels: Largest area.
    """
    height = tree.heights
    i, j = tree.pairs[:, 0], tree.pairs[:, 1]
    joins = tree.distances <= np.maximum(height[i], height[j])
    i, j = i[joins], j[joins]
    nodes = np.flatnonzero(np.isfinite(height)).astype(np.int32)

    pairs = np.concatenate([np.stack([nodes, nodes], 1), np.stack([i, j], 1)])
    areas = np.concatenate([tree.sizes[nodes], tree.sizes[i] + tree.sizes[j]])
    perimeters = np.concatenate(
        [tree.perimeters[nodes], tree.perimeters[i] + tree.perimeters[j] - 2 * tree.borders[joins]]
    )
    lasting = np.concatenate([height[nodes], np.minimum(height[i], height[j])])
    penalty = np.concatenate([np.zeros(len(nodes), np.float32), np.full(len(i), _PAIR_PENALTY, np.float32)])

    inside = (areas >= min_pixels) & (areas <= max_pixels) & np.isfinite(lasting)
    pairs, areas, perimeters = pairs[inside], areas[inside], perimeters[inside]
    lasting, penalty = lasting[inside], penalty[inside]
    typical = max(float(np.median(height[nodes])), 1e-12) if len(nodes) else 1.0
    ranks = (
        np.log(np.maximum(lasting, 1e-12) / typical)
        - _AREA_WEIGHT * np.log(areas)
        - _PERIMETER_WEIGHT * perimeters / np.sqrt(areas)
        - penalty
    )
    return Candidates(pairs, areas, ranks.astype(np.float32))
