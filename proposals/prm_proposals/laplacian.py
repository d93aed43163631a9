"""Linear systems of a random walk on superpixels, solved by a Cholesky factorisation within an envelope.

Superpixels have a handful of neighbours each. Numbered from one side of the picture to the other (Cuthill and
McKee, 1969) their connections stay near the diagonal, and so does the factor: all of it fits into a cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SUMS = {"reassoc", "contract", "nsz"}  # lets sums run on vector units


@dataclass(frozen=True)
class Factors:
    """A factorised system.

    Attributes:
        order: Node of each row of the factor, int32 [K].
        first: First column of each row, int64 [K].
        origin: Column c of row r lies at ``origin[r] + c`` of the factor, int64 [K].
        factor: Rows of the Cholesky factor, each from its first column on, float64 [Σ].
        inverse: One over its diagonal, float64 [K].
    """

    order: NDArray[np.int32]
    first: NDArray[np.int64]
    origin: NDArray[np.int64]
    factor: NDArray[np.float64]
    inverse: NDArray[np.float64]

    def solve(self, right_hand_sides: NDArray[np.float64]) -> NDArray[np.float64]:
        """F of B, both float64 [K, n]."""
        B = np.ascontiguousarray(right_hand_sides, np.float64)
        F: NDArray[np.float64] = _solve(self.order, self.first, self.origin, self.factor, self.inverse, B)
        return F


def factorise(
    edges: NDArray[np.int32], connections: NDArray[np.float64], restart: NDArray[np.float64]
) -> Factors:
    """Factorise ``(diag(u) + D − W) F = B``, with D the row sums of W.

    Args:
        edges: Neighbours (i, j), each pair once, int32 [E, 2].
        connections: ``w_ij = w_ji`` of each edge, >= 0, float64 [E].
        restart: u, float64 [K], > 0: it makes the system positive definite.
    """
    starts, neighbours, weights = adjacency(edges, connections, len(restart))
    order = _from_side_to_side(starts, neighbours)
    return Factors(order, *_factorise(starts, neighbours, weights, restart, order))


@njit(cache=True, nogil=True)
def adjacency(edges, connections, count):  # type: ignore[no-untyped-def]
    """Neighbours and weights of each node, node by node: those of node i from ``starts[i]`` on."""
    starts = np.zeros(count + 1, np.int32)
    for edge in range(len(edges)):
        starts[edges[edge, 0] + 1] += 1
        starts[edges[edge, 1] + 1] += 1
    for node in range(count):
        starts[node + 1] += starts[node]
    used = starts[:-1].copy()
    neighbours = np.empty(2 * len(edges), np.int32)
    weights = np.empty(2 * len(edges), np.float64)
    for edge in range(len(edges)):
        for side in range(2):
            node = edges[edge, side]
            neighbours[used[node]] = edges[edge, 1 - side]
            weights[used[node]] = connections[edge]
            used[node] += 1
    return starts, neighbours, weights


@njit(cache=True, nogil=True)
def _spread(starts, neighbours, seed, placed, order, filled):  # type: ignore[no-untyped-def]
    """Number what is connected with ``seed``, breadth first, neighbours of few neighbours first."""
    order[filled] = seed
    placed[seed] = True
    read, filled = filled, filled + 1
    while read < filled:
        node = order[read]
        read += 1
        begin = filled
        for cell in range(starts[node], starts[node + 1]):
            other = neighbours[cell]
            if not placed[other]:
                placed[other] = True
                degree = starts[other + 1] - starts[other]
                at = filled
                while at > begin and starts[order[at - 1] + 1] - starts[order[at - 1]] > degree:
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = other
                filled += 1
    return filled


@njit(cache=True, nogil=True)
def _from_side_to_side(starts, neighbours):  # type: ignore[no-untyped-def]
    """An order of the nodes in which neighbours are near each other, starting from a node far out."""
    count = len(starts) - 1
    order = np.empty(count, np.int32)
    placed = np.zeros(count, np.bool_)
    filled = 0
    for seed in range(count):
        if placed[seed]:
            continue
        begin = filled
        for _ in range(2):  # the node found last is about as far from the seed as any
            filled = _spread(starts, neighbours, seed, placed, order, begin)
            seed = order[filled - 1]
            for at in range(begin, filled):
                placed[order[at]] = False
        filled = _spread(starts, neighbours, seed, placed, order, begin)
    return order


@njit(cache=True, nogil=True)
def _solve(order, first, origin, factor, inverse, right):  # type: ignore[no-untyped-def]
    result = np.empty(right.shape)
    for c in range(right.shape[1]):
        solved = _substitute(first, origin, factor, inverse, right[order, c])
        for row in range(len(order)):
            result[order[row], c] = solved[row]
    return result


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _factorise(starts, neighbours, weights, restart, order):  # type: ignore[no-untyped-def]
    """What :class:`Factors` holds beside the order of its rows."""
    count = len(order)
    place = np.empty(count, np.int32)
    for row in range(count):
        place[order[row]] = row
    first = np.empty(count, np.int64)
    origin = np.empty(count, np.int64)
    filled = 0
    for row in range(count):
        node = order[row]
        first[row] = row
        for cell in range(starts[node], starts[node + 1]):
            first[row] = min(first[row], place[neighbours[cell]])
        origin[row] = filled - first[row]
        filled += row - first[row] + 1
    factor = np.zeros(filled)
    inverse = np.empty(count)
    for row in range(count):
        node = order[row]
        diagonal = restart[node]
        for cell in range(starts[node], starts[node + 1]):
            diagonal += weights[cell]
            column = place[neighbours[cell]]
            if column < row:
                factor[origin[row] + column] -= weights[cell]
        for column in range(first[row], row):
            begin = max(first[row], first[column])
            # unsigned indices: looked up without a check, and without a view of either row
            own, other = np.uint64(origin[row] + begin), np.uint64(origin[column] + begin)
            total = 0.0
            for k in range(np.uint64(column - begin)):
                total += factor[own + k] * factor[other + k]
            value = (factor[origin[row] + column] - total) * inverse[column]
            factor[origin[row] + column] = value
            diagonal -= value * value
        inverse[row] = 1 / np.sqrt(diagonal)
    return first, origin, factor, inverse


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _substitute(first, origin, factor, inverse, solved):  # type: ignore[no-untyped-def]
    """Solve for one right-hand side, float64 [K] in the order of the rows, in place."""
    for row in range(len(solved)):
        begin, own = np.uint64(first[row]), np.uint64(origin[row] + first[row])
        total = 0.0
        for k in range(np.uint64(row - first[row])):
            total += factor[own + k] * solved[begin + k]
        solved[row] = (solved[row] - total) * inverse[row]
    for row in range(len(solved) - 1, -1, -1):
        begin, own = np.uint64(first[row]), np.uint64(origin[row] + first[row])
        value = solved[row] * inverse[row]
        solved[row] = value
        for k in range(np.uint64(row - first[row])):
            solved[begin + k] -= value * factor[own + k]
    return solved
