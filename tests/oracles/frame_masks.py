"""Masks of a frame as OpenCV enlarges them, one whole mask at a time."""

from __future__ import annotations

import cv2
import numpy as np


def inside(members, labels, frame_size):
    """Share of each pixel of the frame that lies inside, float [n, H, W], of unions of superpixels."""
    height, width = frame_size
    return np.stack(
        [
            cv2.resize(union.astype(np.float32)[labels], (width, height), interpolation=cv2.INTER_LINEAR)
            for union in members
        ]
    )


def boxes(masks):
    """Tight boxes (x0, y0, x1, y1), all 0 where a mask is empty, int [n, 4]."""
    found = np.zeros((len(masks), 4), int)
    for box, mask in zip(found, masks, strict=True):
        if mask.any():
            rows, columns = np.nonzero(mask)
            box[:] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return found
