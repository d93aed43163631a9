"""Greedy suppression and mask NMS on dense pixel masks."""

from __future__ import annotations

import numpy as np


def iou(a, b) -> float:
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 0.0


def suppress(masks, limit: float, most: int) -> list[int]:
    """Indices of the kept masks; ``masks`` bool [N, h, w] are in order of rank."""
    kept: list[int] = []
    for n, mask in enumerate(masks):
        if len(kept) < most and all(iou(mask, masks[k]) <= limit for k in kept):
            kept.append(n)
    return kept


def mask_nms(masks, scores, class_ids, limit: float) -> tuple[list[int], list[int]]:
    """Algorithm 1's NMS: take the best, drop what overlaps it, go on. ``(kept, winner per mask)``."""
    remaining = sorted(range(len(masks)), key=lambda n: (-scores[n], n))
    kept, winner = [], [-1] * len(masks)
    while remaining:
        best = remaining[0]
        dropped = [
            n for n in remaining if class_ids[n] == class_ids[best] and iou(masks[n], masks[best]) > limit
        ]
        for n in {best, *dropped}:
            winner[n] = len(kept)
            remaining.remove(n)
        kept.append(best)
    return kept, winner
