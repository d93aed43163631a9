"""Connected parts of regions of superpixels."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_proposals.regions import RegionGraph


def connected_parts(
    regions: NDArray[np.int64], graph: RegionGraph, least: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The connected parts of regions that do not overlap: an object is in one piece.

    Args:
        regions: Region of each superpixel, -1 for none, int64 [K].
        graph: Superpixels.
        least: Parts below this share of the picture are left out, except the largest of a region.

    Returns:
        ``(members, owners)``: superpixels of each part, bool [n, K]; its region, int64 [n]. In order of the
        regions, the largest part of each first.
    """
    part, owners = _parts(regions, graph.edges)
    sizes = graph.sizes
    pixels = np.bincount(part[part >= 0], weights=sizes[part >= 0], minlength=len(owners))
    order = np.lexsort((-pixels, owners))
    largest = np.ones(len(order), bool)
    largest[1:] = np.diff(owners[order]) > 0
    kept = order[(pixels[order] > 0) & (largest | (pixels[order] > least * sizes.sum()))]
    return part == kept[:, None], owners[kept]


@njit(cache=True, nogil=True)
def _parts(regions, edges):  # type: ignore[no-untyped-def]
    """Part of each superpixel, -1 for none, in order of first appearance, and the region of each part."""
    count = len(regions)
    parent = np.arange(count)
    for edge in range(len(edges)):
        i, j = edges[edge, 0], edges[edge, 1]
        if regions[i] < 0 or regions[i] != regions[j]:
            continue
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        parent[max(i, j)] = min(i, j)  # so that a root comes before all that it holds
    part = np.full(count, -1, np.int64)
    owners = np.empty(count, np.int64)
    found = 0
    for k in range(count):
        if regions[k] < 0:
            continue
        if parent[k] == k:
            part[k] = found
            owners[found] = regions[k]
            found += 1
        else:
            part[k] = part[parent[k]]
    return part, owners[:found]
