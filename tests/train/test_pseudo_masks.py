"""Pseudo-masks, against a walk that is simulated step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.labelled_regions import CLASSES, Scene, draw_scene
from tests.oracles import walk as oracle

from prm_proposals.settings import WalkSettings
from prm_train.pseudo_masks import pseudo_labels, without_label_map

SETTINGS = WalkSettings(boundary_scale=3.0, lab_scale=16.0, restart=0.05, background=0.5)
CONFIDENCE = 0.6


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(pictures=4)


@pytest.fixture(scope="module")
def logits(scene: Scene) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 2, (len(scene.truth), 1 + CLASSES)).astype(np.float32)


def expected_labels(scene: Scene, priors: list[np.ndarray]) -> list[int]:
    labels = []
    for picture, prior in zip(scene.pictures, priors, strict=True):
        walked = np.stack([oracle.absorb(column, picture.graph, SETTINGS) for column in prior.T], axis=1)
        for shares in walked:
            best = int(shares.argmax())
            name = 0 if best == 0 else 1 + int(picture.classes[best - 1])
            labels.append(name if shares[best] > CONFIDENCE else -1)
    return labels


def test_labels_are_the_walks_winners_where_it_is_sure(scene: Scene) -> None:
    found = pseudo_labels(scene.pictures, SETTINGS, CONFIDENCE)
    assert found.tolist() == expected_labels(scene, [picture.prior for picture in scene.pictures])
    assert {-1, 0} < set(found.tolist())


def test_a_mask_heads_logits_take_the_place_of_the_priors(scene: Scene, logits: np.ndarray) -> None:
    priors = [
        oracle.mask_priors(logits[picture.rows], picture.classes, SETTINGS) for picture in scene.pictures
    ]
    found = pseudo_labels(scene.pictures, SETTINGS, CONFIDENCE, lambda rows: logits[rows])
    assert found.tolist() == expected_labels(scene, priors)
    assert found.tolist() != pseudo_labels(scene.pictures, SETTINGS, CONFIDENCE).tolist()


def test_only_the_pictures_own_classes_are_found(scene: Scene, logits: np.ndarray) -> None:
    sure = replace(SETTINGS, restart=1e3)  # walkers stay where they start
    found = pseudo_labels(scene.pictures, sure, 0.0, lambda rows: logits[rows])
    assert (logits.argmax(axis=1) != found).any()
    for picture in scene.pictures:
        assert set(found[picture.rows].tolist()) <= {0, *(1 + picture.classes).tolist()}


def test_a_picture_of_nothing_is_background(scene: Scene) -> None:
    picture = scene.pictures[0]
    nothing = replace(
        picture, classes=np.zeros(0, np.int64), prior=np.ones((picture.graph.count, 1), np.float32)
    )
    assert not pseudo_labels([nothing], SETTINGS, CONFIDENCE).any()


def test_walks_need_no_label_map(scene: Scene) -> None:
    slim = [replace(picture, graph=without_label_map(picture.graph)) for picture in scene.pictures]
    assert all(picture.graph.labels.size == 0 for picture in slim)
    expected = pseudo_labels(scene.pictures, SETTINGS, CONFIDENCE)
    np.testing.assert_array_equal(pseudo_labels(slim, SETTINGS, CONFIDENCE), expected)
