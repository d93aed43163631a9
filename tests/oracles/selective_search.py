"""Hierarchical grouping of selective search (Uijlings et al., IJCV 2013, Algorithm 1), pair by pair."""

from __future__ import annotations


def group(similarity, edges, count: int) -> list[tuple[int, int]]:
    """The two nodes of each merge; every similarity is asked for anew before each."""
    superpixel = {node: node for node in range(count)}
    adjacent = {(int(i), int(j)) for i, j in edges}
    children = []
    while adjacent:
        i, j = min(adjacent, key=lambda pair: (-similarity.get(*(superpixel[n] for n in pair)), pair))
        union = count + len(children)
        similarity.merge(superpixel[i], superpixel[j])
        superpixel[union] = superpixel[i]
        children.append((i, j))
        renamed = {tuple(sorted(union if n in (i, j) else n for n in pair)) for pair in adjacent}
        adjacent = {pair for pair in renamed if pair[0] != pair[1]}
    return children
