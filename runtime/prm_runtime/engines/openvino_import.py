"""OpenVINO without its model converter, which reports every import to its maker and slows it down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CONVERTER = "openvino.tools.ovc"


@contextmanager
def without_converter() -> Iterator[None]:
    """Importing openvino inside does not import its converter, as if that were not installed.

    A device has no use for it: it sends usage statistics unless the user opted out. Whoever does need
    ``openvino.convert_model`` in the same process imports openvino before this package, or
    ``openvino.tools.ovc`` after it.
    """
    modules: dict[str, Any] = sys.modules
    absent = CONVERTER not in modules
    if absent:
        modules[CONVERTER] = None  # Python's own way to say that a module cannot be imported
    try:
        yield
    finally:
        if absent:
            del modules[CONVERTER]
