"""Felzenszwalb and Huttenlocher's segmentation as written in the paper, one edge and one set at a time."""

from __future__ import annotations

import math

import cv2
import numpy as np


def superpixels(image, scale: float, min_size: int):
    """Labels int [h, w] in order of first appearance; ``image`` is RGB uint8 [h, w, 3]."""
    smooth = cv2.GaussianBlur(image, (0, 0), 0.6).astype(int)
    height, width = image.shape[:2]
    edges = []
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width:
                    distance = math.sqrt(((smooth[y, x] - smooth[v, u]) ** 2).sum())
                    edges.append((math.floor(2 * distance), (y, x), (v, u)))
    edges.sort(key=lambda edge: edge[0])  # a stable sort: ties keep raster order

    component = {(y, x): {(y, x)} for y in range(height) for x in range(width)}
    internal = {id(cells): 0 for cells in component.values()}

    def join(a: set, b: set, weight: int) -> None:
        union = a | b
        internal[id(union)] = weight
        keep_alive.append(union)
        for cell in union:
            component[cell] = union

    keep_alive = list(component.values())
    for weight, p, q in edges:
        a, b = component[p], component[q]
        if a is not b and weight <= min(internal[id(c)] + scale / len(c) for c in (a, b)):
            join(a, b, weight)
    for weight, p, q in edges:
        a, b = component[p], component[q]
        if a is not b and min(len(a), len(b)) < min_size:
            join(a, b, weight)

    names: dict[int, int] = {}
    labels = np.empty((height, width), int)
    for y in range(height):
        for x in range(width):
            labels[y, x] = names.setdefault(id(component[y, x]), len(names))
    return labels
