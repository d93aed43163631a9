"""Eq. 6 on dense masks: one peak and one proposal at a time, contours by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np


def contour(mask, width: int):
    """Morphological gradient of a mask, bool [h, w]."""
    kernel = np.ones((width, width), np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, kernel) > 0


def scores(
    evidence, alpha: float, beta: float, background_bias: float, contour_width: int, boundary: float = 1.0
):
    """float64 [P, N]."""
    height, width = evidence.gallery.labels.shape
    masks = evidence.gallery.masks()
    contours = [contour(mask, contour_width) for mask in masks]
    result = np.zeros((len(evidence.peaks), len(masks)))
    for p, (c, _, _) in enumerate(evidence.peaks):
        response = cv2.resize(evidence.class_maps[c], (width, height), interpolation=cv2.INTER_LINEAR)
        Q = response < background_bias * response.mean()
        R = cv2.resize(evidence.prms[p], (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float64)
        if R.sum() > 0:
            R *= evidence.prms[p].sum(dtype=np.float64) / R.sum()
        for n, S in enumerate(masks):
            result[p, n] = alpha * R[S].sum() + boundary * R[contours[n]].sum()
            result[p, n] -= beta * (Q & S).sum() / (height * width)
    return result
