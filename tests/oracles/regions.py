"""The region adjacency graph counted pixel pair by pixel pair."""

from __future__ import annotations


def borders(labels, strength) -> dict[tuple[int, int], tuple[float, float]]:
    """(i, j) -> (pixel pairs, mean boundary strength), i < j."""
    found: dict[tuple[int, int], list[float]] = {}
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width and labels[y, x] != labels[v, u]:
                    key = tuple(sorted((int(labels[y, x]), int(labels[v, u]))))
                    found.setdefault(key, []).append((float(strength[y, x]) + float(strength[v, u])) / 2)
    return {key: (float(len(values)), sum(values) / len(values)) for key, values in found.items()}
