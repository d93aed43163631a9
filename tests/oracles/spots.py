"""Spots of a mask head, one superpixel at a time, on sets."""

from __future__ import annotations

import math


def log_posterior(mask_logits, strength, background, prior):
    """Nested lists [C][K]: the softmax of each superpixel, a class at a time."""
    chances = [1 / (1 + math.exp(-s)) for s in strength]
    result = [[0.0] * len(mask_logits) for _ in chances]
    for k, logits in enumerate(mask_logits):
        weights = [math.exp(logits[0] + background)]
        weights += [math.exp(logits[1 + c]) * chance**prior for c, chance in enumerate(chances)]
        for c in range(len(chances)):
            result[c][k] = math.log(weights[1 + c] / sum(weights))
    return result


def find_spots(posterior, present, edges, levels, least):
    """List of (class, superpixel, region), level by level, class by class, superpixel by superpixel."""
    found = []
    for level in levels:
        for c, values in enumerate(posterior):
            for k, top in enumerate(values):
                if not present[c] or top < least:
                    continue
                allowed = {j for j, value in enumerate(values) if value >= level * top}
                region = _connected(k, allowed, edges)
                if k == min(region, key=lambda j: (-values[j], j)):
                    found.append((c, k, region))
    return found


def _connected(first, allowed, edges):
    region = {first}
    while True:
        touched = {b for a, b in edges if a in region} | {a for a, b in edges if b in region}
        if (touched & allowed) <= region:
            return region
        region |= touched & allowed
