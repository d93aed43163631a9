from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prm_runtime.instances import Instances, InstancesError, mask_boxes


def valid_fields(n: int = 2) -> dict[str, object]:
    masks = np.zeros((n, 4, 6), np.bool_)
    masks[:, 1:3, 2:5] = True
    return {
        "classes": ("cat", "dog"),
        "class_ids": np.arange(n) % 2,
        "scores": np.full(n, 0.5, np.float32),
        "peaks": np.ones((n, 2), np.float32),
        "boxes": mask_boxes(masks),
        "masks": masks,
        "prms": np.zeros((n, 2, 3), np.float32),
        "track_ids": np.arange(n),
    }


def test_valid_fields_pass() -> None:
    instances = Instances(**valid_fields())
    assert len(instances) == 2
    assert instances.labels == ["cat", "dog"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("masks", np.zeros((2, 4), np.bool_), r"masks must be bool \[\*, \*, \*\], got bool \[2, 4\]"),
        ("masks", np.zeros((2, 4, 6), np.uint8), r"masks must be bool"),
        ("class_ids", np.zeros(3, np.int64), r"class_ids must be int64 \[2\], got int64 \[3\]"),
        ("class_ids", np.array([0, 2]), r"class_ids must lie in 0..1, got 0..2"),
        ("scores", np.zeros(2), r"scores must be float32 \[2\], got float64 \[2\]"),
        ("scores", np.float32([0.5, 1.5]), r"scores must lie in 0..1"),
        ("scores", np.float32([0.5, np.nan]), r"scores must lie in 0..1"),
        ("peaks", np.zeros((2, 3), np.float32), r"peaks must be float32 \[2, 2\], got float32 \[2, 3\]"),
        ("boxes", np.int64([[0, 0, 7, 1], [0, 0, 1, 1]]), r"boxes x must lie in 0..6"),
        ("boxes", np.int64([[0, 0, 1, 5], [0, 0, 1, 1]]), r"boxes y must lie in 0..4"),
        ("boxes", np.int64([[2, 0, 2, 1], [0, 0, 1, 1]]), r"x0 < x1"),
        ("prms", np.zeros((1, 2, 2), np.float32), r"prms must be float32 \[2, \*, \*\]"),
        ("track_ids", np.zeros(1, np.int64), r"track_ids must be int64 \[2\]"),
    ],
)
def test_invalid_fields_say_what_was_expected(field: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(InstancesError, match=message):
        Instances(**{**valid_fields(), field: value})


def test_select_by_mask_and_by_index() -> None:
    instances = Instances(**valid_fields(3))
    assert instances.select(instances.class_ids == 1).labels == ["dog"]
    assert instances.select([2, 1]).labels == ["cat", "dog"]
    assert len(instances.select([])) == 0


def test_empty() -> None:
    empty = Instances.empty(("cat",), 4, 6)
    assert empty.masks.shape == (0, 4, 6)
    assert empty.labels == []


@given(st.data())
def test_boxes_are_tight(data: st.DataObject) -> None:
    pixels = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1))
    mask = np.zeros((1, 9, 6), np.bool_)
    for row, column in pixels:
        mask[0, row, column] = True
    rows, columns = zip(*pixels, strict=True)
    expected = [min(columns), min(rows), max(columns) + 1, max(rows) + 1]
    assert mask_boxes(mask).tolist() == [expected]
