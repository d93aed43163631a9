"""Candidates of a merge tree by definition: every union of up to three nodes is tried."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def candidates(tree, graph, sets, most_joined: int = 12) -> dict[frozenset[int], tuple[float, float]]:
    """``{nodes: (area, rank)}`` of a tree whose node n holds the superpixels ``sets[n]``."""
    heights = tree.heights.tolist()
    joins = {n: {} for n in range(len(sets))}
    for (i, j), distance in zip(tree.pairs.tolist(), tree.distances.tolist(), strict=True):
        if distance <= max(heights[i], heights[j]):
            joins[i][j] = joins[j][i] = distance
    together = {frozenset(pair) for living in _generations(tree) for pair in combinations(living, 2)}

    unions = [{n} for n in joins] + [{i, j} for i in joins for j in joins[i]]
    for j in joins:
        closest = sorted(joins[j], key=joins[j].get)[:most_joined]
        unions += [{i, j, k} for i, k in combinations(closest, 2) if frozenset([i, k]) in together]
    median = float(np.median([h for h in heights if np.isfinite(h)]))
    found = {}
    for union in map(frozenset, unions):
        lasting = min(heights[n] for n in union)
        if np.isfinite(lasting):
            inside = sorted(frozenset().union(*(sets[n] for n in union)))
            outline = graph.border[np.isin(graph.edges, inside).sum(axis=1) == 1].sum()
            rank = np.log(lasting / median) - 0.7 * np.log(max(outline, 1))
            found[union] = (float(graph.sizes[inside].sum()), float(rank))
    return found


def _generations(tree):
    """The living nodes before the first merge and after each."""
    leaves = len(tree.sizes) - len(tree.children)
    living = set(range(leaves))
    yield sorted(living)
    for step, pair in enumerate(tree.children.tolist()):
        living = (living - set(pair)) | {leaves + step}
        yield sorted(living)
