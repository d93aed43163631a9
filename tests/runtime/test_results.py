from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco
from tests.fixtures.colour_blobs import draw_blobs

from prm_runtime.instances import Instances
from prm_runtime.results import decode_mask, encode_mask, frame_record
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import Frame


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_masks_round_trip(mask: np.ndarray) -> None:
    rle = json.loads(json.dumps(encode_mask(mask)))
    np.testing.assert_array_equal(decode_mask(rle), mask)
    np.testing.assert_array_equal(coco.decode({**rle, "counts": rle["counts"].encode()}), mask)


def test_record_is_the_documented_contract(colour_segmenter: Segmenter) -> None:
    image, _ = draw_blobs()
    instances = colour_segmenter(image)
    record = json.loads(json.dumps(frame_record(Frame(image, "clip.mp4", 12, 0.4), instances)))
    assert list(record) == ["source", "frame", "time_s", "width", "height", "instances"]
    assert (record["source"], record["frame"], record["time_s"]) == ("clip.mp4", 12, 0.4)
    assert (record["height"], record["width"]) == image.shape[:2]
    assert len(record["instances"]) == len(instances) == 3
    for n, entry in enumerate(record["instances"]):
        assert list(entry) == ["label", "class_id", "score", "peak", "box", "mask", "track_id"]
        assert entry["label"] == instances.classes[entry["class_id"]] == instances.labels[n]
        assert abs(entry["score"] - instances.scores[n]) < 1e-4
        np.testing.assert_allclose(entry["peak"], instances.peaks[n], atol=0.01)
        np.testing.assert_array_equal(decode_mask(entry["mask"]), instances.masks[n])
        x, y, width, height = coco.toBbox({**entry["mask"], "counts": entry["mask"]["counts"].encode()})
        assert entry["box"] == [x, y, x + width, y + height]
        assert entry["track_id"] is None


def test_a_still_picture_has_frame_0_and_no_time() -> None:
    image = np.zeros((3, 4, 3), np.uint8)
    record = frame_record(Frame(image, "a.png", 0, None), Instances.empty(("cat",), 3, 4))
    assert record == {
        "source": "a.png",
        "frame": 0,
        "time_s": None,
        "width": 4,
        "height": 3,
        "instances": [],
    }
