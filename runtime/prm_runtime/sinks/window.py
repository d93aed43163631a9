"""A window on the screen."""

from __future__ import annotations

import os
import sys

import cv2

from prm_runtime.sinks.base import Result, SinkError

TITLE = "prm-run (q quits)"
_QUIT_KEYS = {ord("q"), 27}  # 27 is Escape


class Window:
    """Shows overlays; :attr:`is_closed` becomes true when the user presses q or Escape or closes it."""

    def __init__(self, hold: bool) -> None:
        """Open the window.

        Args:
            hold: Wait for a key after every frame: still pictures would be gone at once.

        Raises:
            SinkError: If there is no display.
        """
        # Qt ends the whole process where there is no display, so look before asking it.
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise SinkError("--show needs a display and there is none; use --save-video or --save-images")
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error:
            raise SinkError("--show needs OpenCV with windows; run: pip install opencv-python") from None
        self.is_closed = False
        self._hold = hold

    def __str__(self) -> str:
        """What people call it."""
        return "the window"

    def write(self, result: Result) -> None:
        """Show one overlay."""
        cv2.imshow(TITLE, cv2.cvtColor(result.overlay, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(0 if self._hold else 1) & 0xFF
        self.is_closed = key in _QUIT_KEYS or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()
