"""Merge trees: greedy merging of neighbouring regions, keeping every pair that was ever adjacent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.regions import RegionGraph


@dataclass(frozen=True)
class MergeTree:
    """A binary tree over K superpixels: nodes 0..K-1 are the leaves, in order of merging the rest follows.

    Attributes:
        children: The two nodes that node K + m joins, int32 [T - K, 2].
        heights: Distance at which each node was merged into its parent, float32 [T]; infinite at a root.
        sizes: Pixels of each node, float32 [T].
        perimeters: Border of each node to other regions in pixel pairs, float32 [T].
        pairs: All pairs of nodes that were adjacent while both were alive, int32 [A, 2].
        distances: Distance of each pair, float32 [A].
        borders: Border length of each pair, float32 [A].
    """

    children: NDArray[np.int32]
    heights: NDArray[np.float32]
    sizes: NDArray[np.float32]
    perimeters: NDArray[np.float32]
    pairs: NDArray[np.int32]
    distances: NDArray[np.float32]
    borders: NDArray[np.float32]

    @property
    def parents(self) -> NDArray[np.int32]:
        """The node that each node was merged into, T at a root, int32 [T]: n lived until it was made."""
        parents = np.full(len(self.sizes), len(self.sizes), np.int32)
        leaves = len(self.sizes) - len(self.children)
        parents[self.children] = np.arange(leaves, len(self.sizes), dtype=np.int32)[:, None]
        return parents


def merge_tree(
    graph: RegionGraph, cues: NDArray[np.float32], boundary_weight: float, size_power: float
) -> MergeTree:
    """Merge the closest two neighbours until nothing is adjacent.

    ``d = (boundary_weight · mean boundary + ‖Δ mean cue‖) · (n_i n_j / (n_i + n_j))^size_power`` with n the
    pixels of a region: small regions merge first. Means are updated after each merge.

    Args:
        graph: Superpixels.
        cues: What a superpixel looks like, float32 [K, D]; D may be 0.
        boundary_weight: Weight of the boundary strength.
        size_power: Exponent of the size factor.
    """
    return MergeTree(
        *_merge(
            graph.edges,
            graph.border,
            graph.border * graph.boundary,
            graph.sizes,
            np.ascontiguousarray(cues, dtype=np.float32),
            np.float32(boundary_weight),
            np.float32(size_power),
        )
    )


_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, nogil=True)
def _least(keys, count):  # type: ignore[no-untyped-def]
    """The smallest of the first keys, on vector units."""
    least = _NONE
    for n in range(count):
        least = min(least, keys[n])
    return least


@njit(cache=True, nogil=True)
def _key(bits, pair):  # type: ignore[no-untyped-def]
    """Keys order pairs by distance, the bits of a float that is not negative, and ties by number."""
    return np.uint64(bits[pair]) << np.uint64(32) | np.uint64(pair)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _distance(i, j, border, strength, sizes, means, boundary_weight, size_power):  # type: ignore[no-untyped-def]
    squared = np.float32(0)
    for c in range(means.shape[1]):
        difference = means[i, c] - means[j, c]
        squared += difference * difference
    size = sizes[i] * sizes[j] / (sizes[i] + sizes[j])
    return (boundary_weight * strength / border + np.sqrt(squared)) * size**size_power


@njit(cache=True, nogil=True)
def _grown(array):  # type: ignore[no-untyped-def]
    larger = np.empty(2 * array.size, array.dtype)
    larger[: array.size] = array
    return larger


@njit(cache=True, nogil=True)
def _merge(edges, border, strength, sizes0, cues, boundary_weight, size_power):  # type: ignore[no-untyped-def]
    leaves = sizes0.size
    count = 2 * leaves - 1
    sizes = np.zeros(count, np.float32)
    sizes[:leaves] = sizes0
    perimeters = np.zeros(count, np.float32)
    means = np.zeros((count, cues.shape[1]), np.float32)
    means[:leaves] = cues
    heights = np.full(count, np.float32(np.inf))
    children = np.empty((count - leaves, 2), np.int32)
    alias = np.arange(count).astype(np.int32)  # the living node that a merged node is part of

    # One linked list of neighbours per living node. Cells of a neighbour that was merged away stay until the
    # list is next walked, so nothing is ever added to another node's list.
    neighbour = np.empty(2 * len(edges), np.int32)
    following = np.empty(2 * len(edges), np.int32)
    length = np.empty(2 * len(edges), np.float32)
    total = np.empty(2 * len(edges), np.float32)
    head = np.full(count, -1, np.int32)
    tail = np.full(count, -1, np.int32)

    capacity = 6 * len(edges) + 16
    first = np.empty(capacity, np.int32)
    second = np.empty(capacity, np.int32)
    distances = np.empty(capacity, np.float32)
    borders = np.empty(capacity, np.float32)
    bits = distances.view(np.uint32)
    found = 0

    # Each living node has a slot with the key of the closest pair that it brought: an edge the lower
    # superpixel, every other pair the node that was made. A node's pairs stand side by side. A key is too
    # small once the pair's other node was merged away; that is looked at when it is the smallest of all.
    keys = np.full(leaves, _NONE)
    holder = np.arange(leaves).astype(np.int32)
    slot = np.zeros(count, np.int32)
    slot[:leaves] = holder
    begin = np.zeros(count + 1, np.int32)

    for edge in range(len(edges)):
        for side in range(2):
            cell = 2 * edge + side
            node = edges[edge, side]
            neighbour[cell] = edges[edge, 1 - side]
            length[cell] = border[edge]
            total[cell] = strength[edge]
            following[cell] = head[node]
            if head[node] < 0:
                tail[node] = cell
            head[node] = cell
            perimeters[node] += border[edge]
        i, j = edges[edge, 0], edges[edge, 1]
        first[found], second[found] = i, j
        borders[found] = border[edge]
        distances[found] = _distance(
            i, j, border[edge], strength[edge], sizes, means, boundary_weight, size_power
        )
        keys[i] = min(keys[i], _key(bits, found))
        begin[i + 1] += 1
        found += 1
    for leaf in range(leaves):
        begin[leaf + 1] += begin[leaf]

    cell_of = np.full(count, -1, np.int32)  # cell of this walk that stands for a neighbour
    node, living = leaves, leaves
    while True:
        key = _least(keys, living)
        if key == _NONE:
            break
        pair = np.int64(key & np.uint64(0xFFFFFFFF))
        i, j = first[pair], second[pair]
        is_edge = pair < len(edges)
        owner, other = (i, j) if is_edge else (j, i)
        if alias[other] != other:
            key = _NONE
            for own in range(begin[owner], begin[owner + 1]):
                other = second[own] if is_edge else first[own]
                if alias[other] == other:
                    key = min(key, _key(bits, own))
            keys[slot[owner]] = key
            continue
        children[node - leaves, 0], children[node - leaves, 1] = i, j
        heights[i] = heights[j] = distances[pair]
        alias[i] = alias[j] = node
        sizes[node] = sizes[i] + sizes[j]
        perimeters[node] = perimeters[i] + perimeters[j] - 2 * borders[pair]
        for c in range(means.shape[1]):
            means[node, c] = (sizes[i] * means[i, c] + sizes[j] * means[j, c]) / sizes[node]

        following[tail[i]] = head[j]
        head[node] = -1
        cell = head[i]
        while cell >= 0:
            next_cell = following[cell]
            other = neighbour[cell]
            while alias[other] != other:
                alias[other] = alias[alias[other]]
                other = alias[other]
            if other != node:
                known = cell_of[other]
                if known >= 0:
                    length[known] += length[cell]
                    total[known] += total[cell]
                else:
                    cell_of[other] = cell
                    neighbour[cell] = other
                    following[cell] = head[node]
                    if head[node] < 0:
                        tail[node] = cell
                    head[node] = cell
            cell = next_cell
        cell, key = head[node], _NONE
        while cell >= 0:
            other = neighbour[cell]
            cell_of[other] = -1
            if found == capacity:
                capacity *= 2
                first, second = _grown(first), _grown(second)
                distances, borders = _grown(distances), _grown(borders)
                bits = distances.view(np.uint32)
            first[found], second[found] = other, node
            borders[found] = length[cell]
            distances[found] = _distance(
                other, node, length[cell], total[cell], sizes, means, boundary_weight, size_power
            )
            key = min(key, _key(bits, found))
            found += 1
            cell = following[cell]
        begin[node + 1] = found

        place, free, living = slot[i], slot[j], living - 1
        slot[node], holder[place], keys[place] = place, node, key
        slot[holder[living]], holder[free], keys[free] = free, holder[living], keys[living]
        node += 1
    pairs = np.stack((first[:found], second[:found]), axis=1)
    return (
        children[: node - leaves], heights[:node], sizes[:node], perimeters[:node],
        pairs, distances[:found], borders[:found],
    )  # fmt: skip
