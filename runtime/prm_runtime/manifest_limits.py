"""Ranges of a manifest's numbers: beyond them a frame would take all memory, or be divided by zero."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Final

from prm_runtime.malformed import MalformedError
from prm_runtime.manifest import Manifest

_TINY: Final = 1e-9  # of what is divided by

LIMITS: Final[dict[str, tuple[float, float]]] = {
    "preprocessing.size": (1, 8192),
    "preprocessing.multiple": (1, 1024),
    "preprocessing.std": (_TINY, 1e9),
    "peaks.window": (1, 255),
    "peaks.max_peaks": (1, 65536),
    "peaks.stop_stride": (1, 64),
    "proposals.long_side": (8, 8192),
    "proposals.max_proposals": (1, 100_000),
    "proposals.superpixel_scale": (_TINY, 1e9),
    "proposals.superpixel_min_size": (1, 1e6),
    "proposals.min_area": (0, 1),
    "proposals.max_area": (0, 1),
    "proposals.suppression_iou": (0, 1),
    "retrieval.max_peaks": (1, 65536),
    "retrieval.nms_iou": (0, 1),
    "retrieval.score_scale": (_TINY, 1e9),
    "retrieval.class_scales": (_TINY, 1e9),
    "retrieval.eq6.contour_width": (1, 255),
    "retrieval.walk.foreground_scale": (_TINY, 1e9),
    "retrieval.walk.boundary_scale": (_TINY, 1e9),
    "retrieval.walk.lab_scale": (_TINY, 1e9),
    "retrieval.walk.restart": (_TINY, 1e9),
    "retrieval.walk.least_part": (0, 1),
}
"""Smallest and largest value by the field's path; of a list, of each item."""
MAX_CLASSES: Final = 100_000
MAX_TREES: Final = 64


def check_limits(manifest: Manifest) -> None:
    """Check ranges, and the lengths of what there is one of per class.

    Raises:
        MalformedError: With the first field that is out of its range.
    """
    for path, (low, high) in LIMITS.items():
        for value in _values(manifest, path):
            if not low <= value <= high:
                _fail(path, f"{value:g}", f"{low:g} to {high:g}")
    classes = len(manifest.classes)
    if not 1 <= classes <= MAX_CLASSES:
        _fail("classes", f"{classes:,} names", f"1 to {MAX_CLASSES:,}")
    if not all(manifest.classes) or len(set(manifest.classes)) != classes:
        _fail("classes", "empty or equal names", "a name of its own for each class")
    trees = len(manifest.proposals.trees)
    if not 1 <= trees <= MAX_TREES:
        _fail("proposals.trees", f"{trees:,}", f"1 to {MAX_TREES}")
    for field in ("class_offsets", "class_scales"):
        if (count := len(getattr(manifest.retrieval, field))) not in (0, classes):
            _fail(f"retrieval.{field}", f"{count:,} values", f"none or {classes:,}, one a class")


def _values(manifest: Manifest, path: str) -> Iterator[float]:
    value = reduce(getattr, path.split("."), manifest)
    yield from value if isinstance(value, tuple) else (value,)  # type: ignore[misc]


def _fail(path: str, found: str, expected: str) -> None:
    raise MalformedError(
        f"invalid manifest at {path}: found {found}, expected {expected}; export the bundle again"
    )
