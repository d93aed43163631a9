"""The soak run's book-keeping: numbers in pictures, and a reason for every frame."""

from __future__ import annotations

import cv2
import pytest
from benchmarks.ledger import CUT_OFF, DECODED, HUNG_UP, NOT_YET, SPOILT, UNEXPLAINED, Entry, account
from benchmarks.numbered import numbered_picture, read_number


@pytest.mark.parametrize("size", [(240, 320), (288, 384), (180, 240)])
@pytest.mark.parametrize("number", [0, 1, 77, 4095, 12_000, (1 << 20) - 1])
def test_numbers_survive_jpeg(size: tuple[int, int], number: int) -> None:
    content = cv2.imencode(".jpg", numbered_picture(number, *size), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    assert read_number(cv2.imdecode(content, cv2.IMREAD_COLOR)) == number


def test_damaged_numbers_are_not_read_as_others() -> None:
    image = numbered_picture(1234, 240, 320)
    for column in range(0, 320, 320 // 24):
        flipped = image.copy()
        flipped[120:, column : column + 320 // 24] = 255 - flipped[120:, column : column + 320 // 24]
        assert read_number(flipped) != 1234
    grey = image.copy()
    grey[120:, :40] = 128
    assert read_number(grey) is None


def entries(text: str) -> list[Entry]:
    """``s`` sent, ``k`` sent as a key frame, ``r`` the same after a restart, ``c`` corrupt, ``a`` away, ``w``
    withheld; a ``|`` begins another connection."""
    found, connection = [], 1
    for letter in text:
        if letter == "|":
            connection += 1
            continue
        fate = {"c": "corrupt", "a": "away", "w": "withheld"}.get(letter, "sent")
        found.append(Entry(len(found), fate, connection, letter in "kr", letter == "r"))
    return found


@pytest.mark.parametrize(
    ("made", "decoded", "lost"),
    [
        ("kssss", {0, 1, 2, 3, 4}, {}),
        ("kssss", {0, 1, 3, 4}, {UNEXPLAINED: 1}),
        ("kssss", {2, 3, 4}, {NOT_YET: 2}),
        ("kssss", {0, 1}, {HUNG_UP: 3}),
        ("ks|kss", {0, 4}, {HUNG_UP: 1, NOT_YET: 2}),
        ("kscsks", {0, 4, 5}, {CUT_OFF: 1, "corrupt": 1, SPOILT: 1}),
        ("kscssks", {0, 6}, {CUT_OFF: 1, "corrupt": 1, SPOILT: 2, UNEXPLAINED: 1}),
        ("kssssrs", {0, 1, 2, 5, 6}, {CUT_OFF: 2}),
        ("kssssrs", {0, 2, 5, 6}, {CUT_OFF: 2, UNEXPLAINED: 1}),
        ("kswwaks", {0, 1, 5, 6}, {"withheld by the camera": 2, "no client": 1}),
    ],
)
def test_every_frame_gets_the_reason_that_it_has(made: str, decoded: set[int], lost: dict[str, int]) -> None:
    assert account(entries(made), decoded) == {DECODED: len(decoded), **lost}
