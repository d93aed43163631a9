"""A mask head step by step: loops over cells, bilinear enlargement by its definition."""

from __future__ import annotations

import numpy as np


def enlarge(values, scale):
    """Bilinear enlargement of [h, w] by an integer, cell centres on cell centres, clamped at the borders."""
    h, w = values.shape
    result = np.zeros((h * scale, w * scale))
    for y in range(h * scale):
        for x in range(w * scale):
            v = min(max((y + 0.5) / scale - 0.5, 0), h - 1)
            u = min(max((x + 0.5) / scale - 0.5, 0), w - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            a, b = v - top, u - left
            result[y, x] = (1 - a) * ((1 - b) * values[top, left] + b * values[top, right]) + a * (
                (1 - b) * values[bottom, left] + b * values[bottom, right]
            )
    return result


def logits(outputs, weight, bias, finest):
    """One linear layer on the enlarged blocks, put on top of each other: [1 + C, h, w].

    Args:
        outputs: Of each block, [D_i, h_i, w_i].
        weight: [1 + C, sum of D_i].
        bias: [1 + C].
        finest: Rows of the finest block.
    """
    features = np.stack([enlarge(channel, finest // len(channel)) for block in outputs for channel in block])
    return np.einsum("nd,dyx->nyx", weight, features) + bias[:, None, None]
