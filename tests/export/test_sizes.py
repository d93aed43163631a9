"""What --size, --fixed, --dynamic and --profile make of the preprocessing."""

from __future__ import annotations

import pytest

from prm_export.errors import ExportError
from prm_export.sizes import with_sizes
from prm_runtime.manifest import Preprocessing
from prm_runtime.preprocess import input_size

PLAIN = Preprocessing(size=448, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize(
    ("size", "dynamic", "profile", "frames"),
    [
        (None, True, None, {(375, 500): (352, 448), (1080, 1920): (256, 448), (5, 500): (32, 448)}),
        ("320", True, None, {(375, 500): (256, 320), (500, 375): (320, 256)}),
        (None, True, "192x192,352x448,448x448", {(375, 500): (352, 448), (5, 500): (192, 448)}),
        ("320", True, "64x64,96x96,256x256", {(375, 500): (256, 256)}),
        (None, False, None, {(375, 500): (448, 448), (5, 500): (448, 448)}),
        ("256x320", False, None, {(375, 500): (256, 320), (500, 375): (256, 320)}),
    ],
)
def test_frames_become_images_of_these_sizes(
    size: str | None,
    dynamic: bool,
    profile: str | None,
    frames: dict[tuple[int, int], tuple[int, int]],
) -> None:
    settings = with_sizes(PLAIN, size, dynamic, profile)
    assert {frame: input_size(*frame, settings) for frame in frames} == frames


def test_without_an_option_all_frames_become_what_they_became_before() -> None:
    settings = with_sizes(PLAIN, None, True, None)
    for frame in ((1, 1), (375, 500), (500, 375), (7, 900), (33, 31), (1080, 1920)):
        assert input_size(*frame, settings) == input_size(*frame, PLAIN)


@pytest.mark.parametrize(
    ("size", "dynamic", "profile", "message"),
    [
        ("big", True, None, r"--size takes 448 or HEIGHTxWIDTH such as 352x448, found 'big'"),
        ("300x400", False, None, r"multiples of 32, found 300x400: use 288x384"),
        ("300", False, None, r"multiples of 32, found 300x300"),
        ("256x320", True, None, r"add --fixed"),
        ("16", True, None, r"at least 32 pixels"),
        (None, True, "64x64,96x96", r"--profile takes MIN,OPT,MAX"),
        (None, True, "64x64,32x32,96x96", r"has to rise from MIN over OPT to MAX"),
        (None, True, "60x64,96x96,96x96", r"--profile: sides have to be multiples of 32"),
        (None, False, "64x64,96x96,96x96", r"--profile goes with --dynamic"),
    ],
)
def test_what_makes_no_sense_is_said(
    size: str | None, dynamic: bool, profile: str | None, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        with_sizes(PLAIN, size, dynamic, profile)
