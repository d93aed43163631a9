"""Whether there is an NVIDIA driver, without importing anything of NVIDIA's."""

from __future__ import annotations

import shutil
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/version")


def driver_version() -> str:
    """What the driver says of itself on Linux, in one line; empty without one."""
    try:
        return _DRIVER.read_text(errors="replace").partition("\n")[0]
    except OSError:
        return ""


def has_nvidia_driver() -> bool:
    """Whether a driver is installed."""
    return bool(driver_version()) or shutil.which("nvidia-smi") is not None
