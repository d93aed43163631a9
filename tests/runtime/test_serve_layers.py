from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tests.fixtures.live_page import blob_result, take_apart

from prm_proposals.maps import upsample
from prm_runtime.draw import draw_prm
from prm_runtime.instances import mask_boxes
from prm_runtime.segmenter import Segmenter
from prm_runtime.serve import layers
from prm_runtime.serve.snapshot import Snapshot


def grey(png: bytes) -> NDArray[np.uint8]:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def filled(outlines: list[list[int]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels inside the outlines (even-odd) and on them, as the page fills and strokes them."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.int32(line).reshape(-1, 2) for line in outlines], 1)
    return canvas > 0


@settings(max_examples=100, deadline=None)
@given(arrays(np.bool_, (9, 13), elements=st.booleans()), st.integers(1, 4))
def test_outlines_hold_exactly_the_mask(seed: NDArray[np.bool_], magnified: int) -> None:
    mask = np.kron(seed, np.ones((magnified, magnified), np.bool_))
    if not mask.any():
        return
    assert (filled(layers.outlines(mask, mask_boxes(mask[None])[0]), mask.shape) == mask).all()


def test_tolerance_takes_points_away_and_moves_the_border_no_further() -> None:
    rows, columns = np.mgrid[:200, :300] // 4 * 4  # stairs of 4 pixels
    mask = np.hypot(rows - 100, (columns - 150) / 1.4) < 80
    box = mask_boxes(mask[None])[0]
    exact, smooth = layers.outlines(mask, box), layers.outlines(mask, box, 3.0)
    assert len(smooth[0]) < len(exact[0]) / 3
    wrong = filled(smooth, mask.shape) ^ mask
    to_border = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5) + cv2.distanceTransform(
        (~mask).view(np.uint8), cv2.DIST_L2, 5
    )
    assert to_border[wrong].max() <= 4.5  # the distance counts from the pixels beyond


def test_a_ring_keeps_its_hole() -> None:
    ring = np.zeros((60, 80), np.bool_)
    ring[10:50, 20:70] = True
    ring[25:35, 35:55] = False
    lines = layers.outlines(ring, mask_boxes(ring[None])[0])
    assert len(lines) == 2
    assert (filled(lines, ring.shape) == ring).all()


@pytest.mark.parametrize(("size", "fitted"), [((90, 160), (90, 160)), ((2160, 3840), (720, 1280))])
def test_pictures_are_jpegs_that_a_phone_can_take(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    image = np.full((*size, 3), (200, 60, 30), np.uint8)
    decoded = cv2.cvtColor(grey(layers.picture(image)), cv2.COLOR_BGR2RGB)
    assert decoded.shape == (*fitted, 3)
    np.testing.assert_allclose(decoded.reshape(-1, 3).mean(axis=0), (200, 60, 30), atol=3)


def test_prms_glow_where_the_heat_maps_do(colour_segmenter: Segmenter) -> None:
    result = blob_result(colour_segmenter)
    prms = result.instances.prms
    assert prms is not None
    png, (height, width) = layers.prm_column(prms)
    column = grey(png)
    assert column.shape == (len(prms) * height, width)
    for n, prm in enumerate(prms):
        shown = column[n * height : (n + 1) * height]
        wanted = cv2.resize(draw_prm(result.frame.image, prm), (width, height), interpolation=cv2.INTER_AREA)
        assert shown.max() == 255
        assert np.corrcoef(shown.ravel(), wanted.max(axis=2).ravel())[0, 1] > 0.9


def test_without_instances_there_is_no_column_of_prms() -> None:
    assert layers.prm_column(np.zeros((0, 224, 224), np.float32)) == (b"", (0, 0))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_class_maps_are_those_of_the_found_classes_on_one_scale(
    colour_segmenter: Segmenter, shift: float
) -> None:
    result = blob_result(colour_segmenter)
    evidence = result.evidence
    assert evidence is not None
    shown = layers.strongest_classes(evidence, result.instances.class_ids)
    assert set(shown[:2]) == {0, 1}  # red and green are in the picture
    size = result.frame.image.shape[:2]
    png, (height, width) = layers.class_map_column(evidence, shown, size, shift)
    assert width / height == pytest.approx(size[1] / size[0], rel=0.02)
    column = grey(png).reshape(len(shown), height, width)
    assert column.max() == 255
    wanted = upsample(evidence.class_maps[shown], (height, width), shift)
    np.testing.assert_allclose(column / 255, np.maximum(wanted, 0) / wanted.max(), atol=1 / 255)


def test_a_message_holds_what_was_found(colour_segmenter: Segmenter) -> None:
    result = blob_result(colour_segmenter, index=50)
    snapshot = Snapshot(2, 7, result, 0.125, 0.0)
    message = snapshot.message()
    assert snapshot.message() is message  # encoded once for all viewers
    header, (picture, prms, class_maps) = take_apart(message)
    assert (header["source"], header["sequence"], header["frame"], header["time_s"]) == (2, 7, 50, 2.0)
    assert header["latency_s"] == 0.125
    assert (header["height"], header["width"]) == result.frame.image.shape[:2] == grey(picture).shape[:2]
    assert [entry["label"] for entry in header["instances"]] == result.instances.labels
    for n, entry in enumerate(header["instances"]):
        assert entry["score"] == pytest.approx(result.instances.scores[n], abs=1e-4)
        assert entry["box"] == result.instances.boxes[n].tolist()
        assert entry["peak"] == pytest.approx(result.instances.peaks[n], abs=0.06)
        mask, wanted = filled(entry["outlines"], result.frame.image.shape[:2]), result.instances.masks[n]
        assert (mask & wanted).sum() > 0.97 * (mask | wanted).sum()
    assert grey(prms).shape[0] == len(result.instances) * header["prm_size"][0]
    assert grey(class_maps).shape[0] == len(header["class_maps"]) * header["class_map_size"][0]
