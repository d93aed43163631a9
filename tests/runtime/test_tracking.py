"""Tracks on drawn scenes with known identities."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prm_runtime.draw import PALETTE, instance_colours
from prm_runtime.errors import PrmError
from prm_runtime.instances import Instances, mask_boxes
from prm_runtime.sources import Frame
from prm_runtime.tracking import TrackSettings, open_tracks

pytest.importorskip("trackers", reason="trackers is not installed")
from prm_runtime.tracking.appearance import colour_histograms, likeness, mask_ious, moved, small_masks
from prm_runtime.tracking.association import Look, similarity
from prm_runtime.tracking.tracks import Tracks

CLASSES = ("dog", "person")
SIZE = (180, 320)
RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 180, 30)


@dataclass(frozen=True)
class Disc:
    x: int
    y: int
    colour: tuple[int, int, int]
    label: str = "dog"
    score: float = 0.6
    radius: int = 24


def scene(*discs: Disc) -> tuple[NDArray[np.uint8], Instances]:
    image = np.full((*SIZE, 3), 128, np.uint8)
    masks = np.zeros((len(discs), *SIZE), np.uint8)
    for mask, disc in zip(masks, discs, strict=True):
        cv2.circle(mask, (disc.x, disc.y), disc.radius, 1, cv2.FILLED)
        image[mask > 0] = disc.colour
    if not discs:
        return image, Instances.empty(CLASSES, *SIZE)
    boxes = mask_boxes(masks > 0)
    class_ids = np.array([CLASSES.index(disc.label) for disc in discs])
    scores = np.float32([disc.score for disc in discs])
    return image, Instances(CLASSES, class_ids, scores, boxes[:, :2].astype(np.float32), boxes, masks > 0)


def show(
    tracks: Tracks, n: int, *discs: Disc, source: str = "a.mp4", time_s: float | None = None
) -> Instances:
    image, instances = scene(*discs)
    return tracks(Frame(image, source, n, n / 30 if time_s is None else time_s), instances)


def ids(instances: Instances) -> dict[int, int]:
    """Track by the x of each instance's centre."""
    centres = (instances.boxes[:, 0] + instances.boxes[:, 2]) // 2
    return dict(zip(centres.tolist(), instances.track_ids.tolist(), strict=True))


def test_objects_that_move_keep_their_ids() -> None:
    tracks = Tracks()
    for n in range(20):
        found = ids(show(tracks, n, Disc(40 + 5 * n, 60, RED), Disc(280 - 5 * n, 120, BLUE)))
        expected = (-1, -1) if n == 0 else (0, 1)
        assert (found[40 + 5 * n], found[280 - 5 * n]) == expected


def test_objects_that_cross_keep_their_ids_by_colour() -> None:
    tracks = Tracks()
    for n in range(25):
        red, blue = 40 + 10 * n, 280 - 10 * n
        if red == blue:
            continue
        found = ids(show(tracks, n, Disc(red, 90, RED), Disc(blue, 90, BLUE)))
    assert (found[280], found[40]) == (0, 1)


def test_an_object_that_comes_back_elsewhere_is_known_by_its_colours() -> None:
    tracks = Tracks(TrackSettings(memory_s=2))
    for n in range(5):
        show(tracks, n, Disc(40, 60, RED))
    for n in range(5, 50):
        show(tracks, n)
    assert ids(show(tracks, 50, Disc(250, 130, RED), Disc(40, 60, GREEN)))[250] == 0
    assert ids(show(tracks, 51, Disc(250, 130, RED), Disc(40, 60, GREEN))) == {250: 0, 40: 1}


def test_an_object_that_was_away_for_too_long_is_a_new_one() -> None:
    tracks = Tracks(TrackSettings(memory_s=1))
    for n in range(5):
        show(tracks, n, Disc(40, 60, RED))
    for n in range(50, 53):
        found = show(tracks, n, Disc(40, 60, RED))
    assert ids(found) == {40: 1}


def test_another_class_in_the_same_place_is_another_track() -> None:
    tracks = Tracks()
    for n in range(3):
        show(tracks, n, Disc(60, 60, RED))
    for n in range(3, 6):
        found = show(tracks, n, Disc(60, 60, RED, label="person"))
    assert ids(found) == {60: 1}


def test_scores_are_smoothed_and_a_weak_frame_does_not_end_a_track() -> None:
    tracks = Tracks(TrackSettings(min_score=0.4, smoothing=0.25))
    for n in range(3):
        show(tracks, n, Disc(60, 60, RED, score=0.8))
    weak = show(tracks, 3, Disc(62, 60, RED, score=0.2))
    assert ids(weak) == {62: 0}
    assert weak.scores[0] == pytest.approx(0.75 * 0.8 + 0.25 * 0.2)


def test_a_weak_instance_begins_no_track_and_is_not_reported() -> None:
    tracks = Tracks(TrackSettings(min_score=0.4))
    for n in range(4):
        assert len(show(tracks, n, Disc(60, 60, RED, score=0.3))) == 0


def test_instances_stay_best_first_and_keep_their_masks() -> None:
    tracks = Tracks()
    for n in range(3):
        found = show(tracks, n, Disc(60, 60, RED, score=0.5), Disc(200, 60, BLUE, score=0.9))
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert found.masks[0, 60, 200]
    assert found.masks[1, 60, 60]


def test_the_longer_track_goes_on_after_an_object_was_found_in_two_parts() -> None:
    tracks = Tracks()
    for n in range(10):
        show(tracks, n, Disc(100, 90, RED))
    for n in range(10, 14):
        show(tracks, n, Disc(85, 90, RED, radius=14), Disc(118, 90, RED, radius=18))
    assert ids(show(tracks, 14, Disc(112, 90, RED, radius=20))) == {112: 0}


def test_each_source_has_its_own_tracks_and_pictures_have_none() -> None:
    tracks = Tracks()
    for n in range(2):
        a = show(tracks, n, Disc(60, 60, RED), source="a.mp4")
        b = show(tracks, n, Disc(200, 60, BLUE), source="b.mp4")
    assert ids(a) == {60: 0}
    assert ids(b) == {200: 0}
    image, instances = scene(Disc(60, 60, RED), Disc(200, 60, RED, score=0.1))
    picture = tracks(Frame(image, "a.png", 0, None), instances)
    assert picture.track_ids is None
    assert len(picture) == 1


@pytest.mark.parametrize("times", [[0.0, 0.1, 0.2, 0.0, 0.1], [5.0, 5.0, 5.0, 5.0, 5.0]])
def test_a_clock_that_stands_still_or_runs_back_does_not_stop_tracking(times: list[float]) -> None:
    tracks = Tracks()
    found = [show(tracks, n, Disc(60, 60, RED), time_s=time_s) for n, time_s in enumerate(times)]
    assert [ids(instances) for instances in found[1:]] == [{60: 0}] * 4


def test_equal_instances_get_different_tracks() -> None:
    tracks = Tracks()
    for n in range(3):
        found = show(tracks, n, Disc(60, 60, RED), Disc(60, 60, RED))
    assert sorted(found.track_ids.tolist()) == [0, 1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(30, 290), max_size=4), max_size=8))
def test_a_track_is_never_in_a_frame_twice(positions: list[list[int]]) -> None:
    tracks = Tracks()
    for n, xs in enumerate(positions):
        found = show(tracks, n, *(Disc(x, 90, RED if x % 2 else BLUE) for x in xs))
        named = [track for track in found.track_ids.tolist() if track >= 0]
        assert len(named) == len(set(named))


def slow_similarity(track: Look, step: tuple[int, int], instance: Look, thresholds: TrackSettings) -> float:
    height, width = track.mask.shape
    common = union = 0
    for y in range(height):
        for x in range(width):
            from_y, from_x = y - step[1], x - step[0]
            inside = 0 <= from_y < height and 0 <= from_x < width and track.mask[from_y, from_x]
            common += bool(inside and instance.mask[y, x])
            union += bool(inside or instance.mask[y, x])
    overlap = common / max(union, 1)
    alike = sum((a * b) ** 0.5 for a, b in zip(track.colours, instance.colours, strict=True))
    if track.class_id != instance.class_id:
        return 0.0
    in_place = overlap >= thresholds.min_overlap and alike >= thresholds.likeness_in_place
    if not in_place and alike < thresholds.min_likeness:
        return 0.0
    length = min(1.0, track.frames / thresholds.senior_frames)
    return overlap + thresholds.likeness_weight * alike + thresholds.seniority_weight * length


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_similarity_is_what_its_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def look() -> Look:
        colours = rng.dirichlet(np.full(4, 0.5)).astype(np.float32)
        frames = int(rng.integers(1, 60))
        return Look(int(rng.integers(2)), 0.5, rng.random((5, 7)) > 0.5, rng.random(4) * 5, colours, frames)

    tracks, instances, thresholds = [look() for _ in range(3)], [look() for _ in range(2)], TrackSettings()
    steps = [tuple(int(value) for value in rng.integers(-8, 9, 2)) for _ in tracks]
    predicted = np.stack([t.box + np.tile(step, 2) for t, step in zip(tracks, steps, strict=True)])
    expected = [
        [slow_similarity(track, step, instance, thresholds) for instance in instances]
        for track, step in zip(tracks, steps, strict=True)
    ]
    np.testing.assert_allclose(similarity(tracks, predicted, instances, thresholds), expected, atol=1e-5)


def test_small_masks_and_histograms() -> None:
    image, instances = scene(Disc(60, 60, RED), Disc(200, 60, BLUE), Disc(120, 120, RED))
    masks = small_masks(instances.masks)
    histograms = colour_histograms(image, masks)
    np.testing.assert_allclose(histograms.sum(axis=1), 1, atol=1e-6)
    alike = likeness(histograms, histograms)
    assert alike[0, 2] == pytest.approx(1, abs=0.05)
    assert alike[0, 1] < 0.05
    np.testing.assert_array_equal(mask_ious(masks, masks), np.eye(3))
    large = small_masks(instances.masks.repeat(4, axis=1).repeat(4, axis=2))
    np.testing.assert_array_equal(large, masks)
    np.testing.assert_array_equal(moved(moved(masks[0], 7, -3), -7, 3), masks[0])
    assert colour_histograms(image, masks[:0]).shape == (0, 576)


def test_tracked_instances_are_drawn_in_the_colour_of_their_track() -> None:
    tracks = Tracks()
    first = show(tracks, 0, Disc(60, 60, RED))
    second = show(tracks, 1, Disc(60, 60, RED))
    assert instance_colours(first) == [(160, 160, 160)]
    assert instance_colours(second) == [PALETTE[0]]


def test_without_the_tracker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prm_runtime.tracking.tracks", None)
    with pytest.raises(PrmError, match=r'pip install "prm-edge\[track\]"'):
        open_tracks()
