"""Greedy merging by definition: every distance afresh from the superpixels, after every merge."""

from __future__ import annotations

import numpy as np


def merge(graph, cues, boundary_weight: float, size_power: float):
    """``(merges, pairs)``: (set, set, distance) of each merge in order, and of pairs ever adjacent."""
    regions = [frozenset([k]) for k in range(graph.count)]
    merges, pairs = [], {}
    while len(regions) > 1:
        best = None
        for n, a in enumerate(regions):
            for b in regions[n + 1 :]:
                distance = _distance(graph, cues, a, b, boundary_weight, size_power)
                if distance is None:
                    continue
                pairs[frozenset([a, b])] = distance
                if best is None or distance < best[2]:
                    best = (a, b, distance)
        if best is None:
            break
        merges.append(best)
        regions = [r for r in regions if r not in best[:2]] + [best[0] | best[1]]
    return merges, pairs


def _distance(graph, cues, a, b, boundary_weight, size_power):
    length = total = 0.0
    for (i, j), border, boundary in zip(graph.edges.tolist(), graph.border, graph.boundary, strict=True):
        if (i in a and j in b) or (i in b and j in a):
            length += float(border)
            total += float(border) * float(boundary)
    if length == 0:
        return None
    mean_a, size_a = _mean(graph, cues, a)
    mean_b, size_b = _mean(graph, cues, b)
    unlike = boundary_weight * total / length + float(np.linalg.norm(mean_a - mean_b))
    return unlike * (size_a * size_b / (size_a + size_b)) ** size_power


def _mean(graph, cues, region):
    index = sorted(region)
    sizes = graph.sizes[index].astype(float)
    return (sizes[:, None] * cues[index]).sum(axis=0) / sizes.sum(), sizes.sum()
