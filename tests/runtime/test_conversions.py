from __future__ import annotations

import sys

import numpy as np
import pytest
from pycocotools.coco import COCO
from tests.fixtures.shapes import CLASSES, SIZE, awkward_instances

from prm_runtime.console import PrmError
from prm_runtime.instances import Instances


def ground_truth(image_ids: list[int], categories: dict[int, str]) -> COCO:
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": SIZE[0], "width": SIZE[1]} for n in image_ids
        ],
        "categories": [{"id": n, "name": name} for n, name in categories.items()],
        "annotations": [],
    }
    truth.createIndex()
    return truth


def test_pycocotools_loads_what_to_coco_returns() -> None:
    instances = awkward_instances()
    truth = ground_truth([139], {3: "cat", 7: "dog", 90: "potted plant"})
    loaded = truth.loadRes(instances.to_coco(139, category_ids=[3, 7, 90]))
    annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=[139]))
    assert [a["category_id"] for a in annotations] == [3, 7, 90, 7, 3]
    assert [a.get("track_id") for a in annotations] == [4, 5, 6, 7, None]
    for n, annotation in enumerate(annotations):
        np.testing.assert_array_equal(loaded.annToMask(annotation), instances.masks[n])
        x, y, width, height = annotation["bbox"]
        assert [x, y, x + width, y + height] == instances.boxes[n].tolist()
        assert annotation["score"] == pytest.approx(instances.scores[n], abs=1e-4)


def test_areas_are_those_of_the_masks() -> None:
    instances = awkward_instances()  # loadRes replaces them by those of the boxes
    assert [entry["area"] for entry in instances.to_coco(1)] == instances.masks.sum(axis=(1, 2)).tolist()


def test_categories_are_class_ids_plus_one_unless_given() -> None:
    assert [entry["category_id"] for entry in awkward_instances().to_coco(1)] == [1, 2, 3, 2, 1]


def test_supervision_detections() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    instances = awkward_instances()
    detections = instances.to_supervision()
    assert isinstance(detections, supervision.Detections)
    np.testing.assert_array_equal(detections.xyxy, instances.boxes)
    np.testing.assert_array_equal(detections.mask, instances.masks)
    np.testing.assert_array_equal(detections.confidence, instances.scores)
    np.testing.assert_array_equal(detections.class_id, instances.class_ids)
    np.testing.assert_array_equal(detections.tracker_id, instances.track_ids)
    assert detections["class_name"].tolist() == instances.labels
    dogs = detections[detections.class_id == 1]  # its own indexing takes every field along
    assert dogs["class_name"].tolist() == ["dog", "dog"]


def test_supervision_detections_without_instances_or_tracks() -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    assert len(Instances.empty(CLASSES, *SIZE).to_supervision()) == 0
    assert awkward_instances(track_ids=False).to_supervision().tracker_id is None


def test_without_supervision_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(PrmError, match=r'pip install "prm-edge\[supervision\]"'):
        awkward_instances().to_supervision()
