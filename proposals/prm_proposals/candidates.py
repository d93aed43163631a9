"""Candidate proposals of a merge tree and their rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.merging import MergeTree

_OUTLINE_POWER = 0.7
_MOST_JOINED = 12  # bounds the triples of a region with hundreds of neighbours; more of them add nothing


@dataclass(frozen=True)
class Candidates:
    """Nodes of a tree and unions of two or three of its nodes.

    Attributes:
        parts: The nodes of each candidate, int32 [N, 3]; one of them is repeated where there are fewer.
        areas: Pixels, float32 [N].
        ranks: Higher is better, float32 [N].
    """

    parts: NDArray[np.int32]
    areas: NDArray[np.float32]
    ranks: NDArray[np.float32]


def tree_candidates(tree: MergeTree, min_pixels: float, max_pixels: float) -> Candidates:
    """All nodes, and all unions of two or three nodes that could as well have been merged.

    Two nodes *join* if they would have been merged before one of them was merged elsewhere: their distance is
    at most the larger of the heights at which they disappear. Three nodes make a triple if they were alive at
    the same time and one of them joins the two others, which are among the 12 closest that it joins.

    A region that survives long with a short outline is more likely an object:
    ``rank = log(h / median h) − .7·log(perimeter)``, h being the smallest of its nodes' heights.

    Args:
        tree: Merge tree.
        min_pixels: Smallest area.
        max_pixels: Largest area.
    """
    parts, areas, outlines, lasting = _unions(
        tree.pairs,
        tree.distances,
        tree.borders,
        tree.parents,
        tree.heights,
        tree.sizes,
        tree.perimeters,
        np.float32(min_pixels),
        np.float32(max_pixels),
    )
    merged = tree.heights[np.isfinite(tree.heights)]
    typical = max(float(np.median(merged)), 1e-12) if len(merged) else 1.0
    ranks = np.log(np.maximum(lasting, 1e-12) / typical) - _OUTLINE_POWER * np.log(np.maximum(outlines, 1))
    return Candidates(parts, areas, ranks.astype(np.float32))


@njit(cache=True, nogil=True)
def _unions(pairs, distances, borders, parents, heights, sizes, perimeters, least, most):  # type: ignore[no-untyped-def]
    """Parts, areas, outlines and smallest heights of all nodes, pairs and triples of a fitting size."""
    joins = distances <= np.maximum(heights[pairs[:, 0]], heights[pairs[:, 1]])
    triples, shared = _triples(pairs, distances, borders, joins, parents)
    room = len(heights) + len(pairs) + len(triples)
    parts = np.empty((room, 3), np.int32)
    areas = np.empty(room, np.float32)
    outlines = np.empty(room, np.float32)
    lasting = np.empty(room, np.float32)
    found = 0
    for n in range(room):
        if n < len(heights):
            i = j = k = n
            area, outline = sizes[n], perimeters[n]
        elif n < len(heights) + len(pairs):
            pair = n - len(heights)
            if not joins[pair]:
                continue
            i, j = pairs[pair]
            k = j
            area = sizes[i] + sizes[j]
            outline = perimeters[i] + perimeters[j] - 2 * borders[pair]
        else:
            triple = n - len(heights) - len(pairs)
            i, j, k = triples[triple]
            area = sizes[i] + sizes[j] + sizes[k]
            outline = perimeters[i] + perimeters[j] + perimeters[k] - 2 * shared[triple]
        lasts = min(heights[i], heights[j], heights[k])
        if least <= area <= most and np.isfinite(lasts):
            parts[found, 0], parts[found, 1], parts[found, 2] = i, j, k
            areas[found], outlines[found], lasting[found] = area, outline, lasts
            found += 1
    return parts[:found], areas[:found], outlines[:found], lasting[:found]


@njit(cache=True, nogil=True)
def _triples(pairs, distances, borders, joins, parents):  # type: ignore[no-untyped-def]
    """All triples, int32 [n, 3] with the joining node in the middle, and the borders inside each."""
    count = parents.size
    starts = np.zeros(count + 1, np.int32)
    for pair in range(len(pairs)):
        starts[pairs[pair, 0] + 1] += 1
        starts[pairs[pair, 1] + 1] += 1
    starts = np.cumsum(starts)
    used = starts[:-1].copy()
    row = np.empty(2 * len(pairs), np.int32)  # the pairs of each node, node by node
    closest = np.empty((count, _MOST_JOINED), np.int32)
    joined = np.zeros(count, np.int32)
    for pair in range(len(pairs)):
        for side in range(2):
            node = pairs[pair, side]
            row[used[node]] = pair
            used[node] += 1
            if joins[pair]:
                at = joined[node]
                while at > 0 and distances[closest[node, at - 1]] > distances[pair]:
                    if at < _MOST_JOINED:
                        closest[node, at] = closest[node, at - 1]
                    at -= 1
                if at < _MOST_JOINED:
                    closest[node, at] = pair
                    joined[node] = min(joined[node] + 1, _MOST_JOINED)

    most = (joined * (joined - 1) // 2).sum()
    triples = np.empty((most, 3), np.int32)
    shared = np.empty(most, np.float32)
    found = 0
    for j in range(count):
        for a in range(joined[j]):
            first = closest[j, a]
            i = pairs[first, 0] + pairs[first, 1] - j
            for b in range(a):
                second = closest[j, b]
                k = pairs[second, 0] + pairs[second, 1] - j
                if i >= parents[k] or k >= parents[i]:  # one was made when the other was gone
                    continue
                within = borders[first] + borders[second]
                fewer, other = (i, k) if starts[i + 1] - starts[i] < starts[k + 1] - starts[k] else (k, i)
                for cell in range(starts[fewer], starts[fewer + 1]):
                    if pairs[row[cell], 0] + pairs[row[cell], 1] - fewer == other:
                        within += borders[row[cell]]
                        break
                triples[found, 0], triples[found, 1], triples[found, 2] = i, j, k
                shared[found] = within
                found += 1
    return triples[:found], shared[:found]
