"""What is used again from frame to frame, on drawn scenes with known motion."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.fixtures.colour_blobs import BLOBS, Blob, draw_blobs
from tests.fixtures.media import write_lossless_video
from tests.fixtures.shapes import iou

from prm_runtime.instances import Instances, mask_boxes
from prm_runtime.reuse import Reuse, ReuseSettings
from prm_runtime.reuse.follow import Follower, moved_instances
from prm_runtime.reuse.grid import grey, pixel_grid
from prm_runtime.reuse.still import StillRegions, is_still
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import Frame

SIZE = (240, 360)


def textured(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def patch_at(x: int, y: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A textured disc on a textured ground."""
    image, mask = textured(*SIZE, seed=1), np.zeros(SIZE, np.uint8)
    cv2.circle(mask, (x, y), 40, 1, cv2.FILLED)
    object_ = np.roll(textured(*SIZE, seed=2), (y, x), axis=(0, 1))
    image[mask > 0] = object_[mask > 0]
    return image, mask > 0


def instances_of(mask: NDArray[np.bool_], peak: tuple[int, int]) -> Instances:
    masks = mask[None]
    return Instances(
        ("dog",), np.array([0]), np.float32([0.7]), np.float32([peak]), mask_boxes(masks), masks,
        np.ones((1, 2, 3), np.float32), np.array([5]),
    )  # fmt: skip


def test_a_mask_follows_its_object_over_many_frames() -> None:
    image, mask = patch_at(100, 100)
    follower = Follower(image, instances_of(mask, (110, 90)), ReuseSettings(max_unexplained=0.3))
    for step in range(1, 9):
        image, truth = patch_at(100 + 4 * step, 100 + 2 * step)
        found = follower.follow(image)
        assert found is not None
        assert iou(found.masks[0], truth) > iou(mask, truth) + 0.04  # both textures are noise: a hard case
    assert iou(found.masks[0], truth) > iou(mask, truth) + 0.2
    assert np.abs(found.peaks[0] - (110 + 32, 90 + 16)).max() < 6
    assert found.prms is None
    assert found.track_ids.tolist() == [5]
    assert found.scores.tolist() == pytest.approx([0.7])


def test_a_still_picture_leaves_masks_as_they_are() -> None:
    image, mask = patch_at(120, 100)
    follower = Follower(image, instances_of(mask, (120, 100)), ReuseSettings())
    for _ in range(5):
        found = follower.follow(image)
    assert found is not None
    np.testing.assert_array_equal(found.masks[0], mask)
    assert found.peaks.tolist() == [[120, 100]]


def test_moved_instances_are_those_of_the_definition() -> None:
    """Each pixel takes the mask's value at the place that it came from."""
    mask = np.zeros((12, 20), np.bool_)
    mask[3:8, 4:10] = True
    grid = pixel_grid(12, 20)
    origin = grid - np.float32([6, -2])
    found = moved_instances(instances_of(mask, (5, 4)), origin)
    expected = np.zeros_like(mask)
    for y in range(12):
        for x in range(20):
            from_x, from_y = x - 6, y + 2
            expected[y, x] = 0 <= from_x < 20 and 0 <= from_y < 12 and mask[from_y, from_x]
    np.testing.assert_array_equal(found.masks[0], expected)
    assert found.peaks.tolist() == [[11, 2]]
    assert found.boxes.tolist() == [[10, 1, 16, 6]]


def test_what_leaves_the_picture_is_gone() -> None:
    mask = np.zeros((12, 20), np.bool_)
    mask[3:8, 14:20] = True
    assert len(moved_instances(instances_of(mask, (15, 4)), pixel_grid(12, 20) - np.float32([10, 0]))) == 0


def test_a_cut_and_another_size_are_not_followed() -> None:
    image, mask = patch_at(100, 100)
    found = instances_of(mask, (100, 100))
    assert Follower(image, found, ReuseSettings()).follow(textured(*SIZE, seed=7)) is None
    assert Follower(image, found, ReuseSettings()).follow(image[:-2]) is None


def moving(n: int) -> NDArray[np.uint8]:
    return draw_blobs(tuple(Blob(b.label, b.x + 2 * n, b.y, b.radius) for b in BLOBS))[0]


def frames_of(images: list[NDArray[np.uint8]], source: str = "a.mp4") -> list[Frame]:
    return [Frame(image, source, n, n / 25) for n, image in enumerate(images)]


def test_the_network_runs_on_every_nth_frame_of_each_source(colour_segmenter: Segmenter) -> None:
    reuse = Reuse(colour_segmenter, ReuseSettings(refresh=3))
    a = frames_of([moving(n) for n in range(7)])
    b = frames_of([moving(n) for n in range(7)], "b.mp4")
    ran: dict[str, list[int]] = {"a.mp4": [], "b.mp4": []}
    for frame in [frame for pair in zip(a, b, strict=True) for frame in pair]:
        ((instances, evidence),) = reuse([frame])
        assert sorted(instances.labels) == ["green", "red", "red"]
        if evidence is not None:
            ran[frame.source].append(frame.index)
        alone = colour_segmenter(frame.image)
        for mask, label in zip(instances.masks, instances.labels, strict=True):
            others = alone.select(np.array(alone.labels) == label)
            assert max(iou(mask, other) for other in others.masks) > 0.9
    assert ran == {"a.mp4": [0, 3, 6], "b.mp4": [0, 3, 6]}
    assert reuse.followed == 8


def test_still_pictures_are_analysed_each_on_its_own(colour_segmenter: Segmenter) -> None:
    reuse = Reuse(colour_segmenter, ReuseSettings(carry_proposals=True, refresh=5))
    image = draw_blobs()[0]
    found = list(reuse([Frame(image, f"{n}.png", 0, None) for n in range(3)]))
    assert all(evidence is not None for _, evidence in found)
    assert (reuse.followed, reuse.carried) == (0, 0)


def test_proposals_are_carried_over_while_the_picture_is_still(colour_segmenter: Segmenter) -> None:
    reuse = Reuse(colour_segmenter, ReuseSettings(carry_proposals=True))
    still = draw_blobs()[0]
    results = list(reuse(frames_of([still, still, still, moving(20), moving(20)])))
    assert reuse.carried == 3
    graphs = [evidence.graph for _, evidence in results if evidence is not None]
    assert graphs[0] is graphs[1] is graphs[2]
    assert graphs[2] is not graphs[3]
    assert graphs[3] is graphs[4]
    for (instances, _), image in zip(results, [still] * 3 + [moving(20)] * 2, strict=True):
        alone = colour_segmenter(image)
        np.testing.assert_array_equal(instances.masks, alone.masks)
        np.testing.assert_array_equal(instances.scores, alone.scores)


def test_stillness_is_judged_where_peaks_respond() -> None:
    before, now = np.full((60, 80), 100, np.uint8), np.full((60, 80), 100, np.uint8)
    now[:20, :20] = 150  # a twelfth of the picture
    elsewhere, there = np.zeros((1, 6, 8), np.float32), np.zeros((1, 6, 8), np.float32)
    elsewhere[0, 5, 7], there[0, 0, 0] = 1, 1
    settings = ReuseSettings(max_changed=0.1, max_prm_changed=0.02)
    assert is_still(before, now, elsewhere, settings)
    assert is_still(before, now, elsewhere[:0], settings)
    assert not is_still(before, now, there, settings)
    assert not is_still(before, now, np.concatenate([elsewhere, there]), settings)
    assert not is_still(before, now, elsewhere, ReuseSettings(max_changed=0.05))


def test_slow_drift_is_measured_from_the_frame_that_proposals_were_made_for(
    colour_segmenter: Segmenter,
) -> None:
    regions = StillRegions(ReuseSettings(changed_levels=12))
    evidence = colour_segmenter.evidence(draw_blobs()[0])
    image = np.full((60, 80, 3), 100, np.uint8)
    regions.keep(image, evidence.graph, evidence.gallery)
    prms = np.zeros((0, 4, 4), np.float32)
    recalled = [regions.recall(image + np.uint8(3 * n), prms) is not None for n in range(6)]
    assert recalled == [True, True, True, True, False, False]
    assert regions.recall(image[:40], prms) is None
    assert grey(image).shape == (60, 80)


def test_reuse_on_the_command_line(prm_run: Callable[..., Any], colour_bundle: Path, tmp_path: Path) -> None:
    clip = write_lossless_video(tmp_path / "clip.mkv", [moving(n) for n in range(5)], Fraction(25))
    result = prm_run(
        clip, "--model", colour_bundle, "--refresh", 2, "--carry-proposals", "--track",
        "--save-json", tmp_path / "a.jsonl", "--save-prm", tmp_path / "prm",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "following" in result.err
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [len(line["instances"]) for line in lines] == [3] * 5
    assert len({entry["track_id"] for line in lines[1:] for entry in line["instances"]}) == 3
    assert len(list((tmp_path / "prm").iterdir())) == 9  # of the frames that the network ran on
