"""Cameras attached to this computer."""

from __future__ import annotations

from fractions import Fraction
from time import monotonic

import cv2
import numpy as np

from prm_runtime.sources.errors import LostError, NotFoundError, RefusedError
from prm_runtime.sources.live import LiveSource, Patience, Reading

USUAL_RATE = Fraction(30)  # where a camera does not tell


class CameraConnection:
    """An open camera."""

    def __init__(self, device: str) -> None:
        """Open a camera by its index (``0``) or path (``/dev/video0``).

        Raises:
            NotFoundError: If there is no such camera.
            RefusedError: If it is there and delivers nothing.
        """
        self._device = device
        self._capture = cv2.VideoCapture(int(device) if device.isdigit() else device)
        if not self._capture.isOpened():
            raise NotFoundError(
                f"camera {device}: cannot be opened; is it plugged in, and free of other programs?"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest one waiting
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(rate).limit_denominator(1001) if rate > 0 else USUAL_RATE
        self._has_delivered = False

    def read(self) -> Reading:
        """Wait for the next picture.

        Raises:
            LostError: If the camera stopped.
            RefusedError: If it never delivered.
        """
        arrived, image = self._capture.read()
        captured = monotonic()
        if not arrived and not self._has_delivered:
            raise RefusedError(f"camera {self._device}: delivers no pictures; does another program use it?")
        if not arrived:
            raise LostError(f"camera {self._device}: stopped delivering pictures")
        self._has_delivered = True
        return Reading([np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)], captured)

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


def open_camera(device: str, patience: Patience) -> LiveSource:
    """The camera with that index or path."""
    return LiveSource(device, lambda: CameraConnection(device), patience)
