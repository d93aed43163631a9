from __future__ import annotations

import pytest

from prm_runtime.backends.base import GraphUse
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import PrmError
from prm_runtime.engines.profiles import Range, extent_range, grid_range
from prm_runtime.manifest import SizeProfile

USE = GraphUse(smallest=(64, 32), usual=(320, 448), largest=(448, 512), max_peaks=5)


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        (3, (3, 3, 3)),
        ("height", (64, 320, 448)),
        ("width", (32, 448, 512)),
        ("height/32", (2, 10, 14)),
        ("width/64", (1, 7, 8)),
        ("peaks", (1, 5, 5)),
    ],
)
def test_a_dimension_says_how_large_it_gets(extent: int | str, expected: tuple[int, ...]) -> None:
    assert extent_range(extent, USE) == expected


@pytest.mark.parametrize("extent", ["batch", "height 70->9", "heights", "", "height/0x"])
def test_an_unknown_dimension_is_named(extent: str) -> None:
    with pytest.raises(PrmError, match=f"dimension '{extent}' .*export the bundle again"):
        extent_range(extent, USE)


def test_the_grid_is_that_of_the_smallest_map() -> None:
    shapes = [[extent_range(e, USE) for e in (1, 8, f"height/{s}", f"width/{s}")] for s in (4, 32, 16)]
    gate, peaks = [Range(1, 1, 1)] * 4, [extent_range(e, USE) for e in ("peaks", 3)]
    assert grid_range([peaks, gate, *shapes]) == ((2, 10, 14), (1, 14, 16))
    assert grid_range([peaks, gate]) == ((1, 1, 1), (1, 1, 1))


def test_a_manifest_says_how_its_graphs_are_used() -> None:
    manifest = Bundle.open(shipped_bundle()).manifest
    use = GraphUse.of(manifest)
    assert (use.smallest, use.usual, use.largest) == ((32, 32), (352, 448), (448, 448))
    assert use.max_peaks == manifest.peaks.max_peaks
    profile = SizeProfile(min=(64, 64), opt=(96, 128), max=(128, 160))
    preprocessing = manifest.preprocessing.model_copy(update={"profile": profile})
    use = GraphUse.of(manifest.model_copy(update={"preprocessing": preprocessing}))
    assert (use.smallest, use.usual, use.largest) == ((64, 64), (96, 128), (128, 160))
