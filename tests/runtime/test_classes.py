from __future__ import annotations

import pytest

from prm_runtime.classes import class_indices, split_class_list
from prm_runtime.console import PrmError

CLASSES = ("tench, Tinca tinca", "dog", "person", "potted plant")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dog", ["dog"]),
        ("dog, potted plant,", ["dog", "potted plant"]),
        ("Tench, tinca tinca", ["Tench, tinca tinca"]),
    ],
)
def test_lists_are_split_at_commas_unless_they_are_one_name(text: str, expected: list[str]) -> None:
    assert split_class_list(text, CLASSES) == expected


def test_names_are_found_ignoring_case() -> None:
    assert class_indices(["Person", "tench, tinca tinca"], CLASSES) == [2, 0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Dogg", "did you mean dog"), ("pottedplant", "potted plant"), ("zzz", "known are: tench")],
)
def test_unknown_names_come_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(PrmError, match=f"unknown class '{name}'.*{hint}"):
        class_indices([name], CLASSES)
