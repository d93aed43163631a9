"""Superpixels, their adjacency graph and pooled features, against slow oracles."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data
from tests.oracles import regions as oracle_regions
from tests.oracles import superpixels as oracle_superpixels

from prm_proposals.boundary import boundary_strength, lab_image
from prm_proposals.pooling import pool_features
from prm_proposals.regions import region_graph, region_sums
from prm_proposals.superpixels import superpixels


def crop(picture, size: tuple[int, int]):
    return cv2.resize(picture[:300, 60:460], size[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("picture", ["chelsea", "coffee", "rocket"])
@pytest.mark.parametrize(("scale", "min_size"), [(30, 5), (150, 20)])
def test_superpixels_equal_the_paper_edge_by_edge(picture: str, scale: float, min_size: int):
    image = crop(getattr(data, picture)(), (36, 47))
    expected = oracle_superpixels.superpixels(image, scale, min_size)
    assert np.array_equal(superpixels(image, scale, min_size), expected)


def test_superpixels_are_connected_large_enough_and_named_in_order():
    labels = superpixels(crop(data.astronaut(), (120, 160)), 100, 20)
    values, first = np.unique(labels, return_index=True)
    assert values.tolist() == list(range(len(values)))
    assert (np.diff(first) > 0).all()
    assert np.bincount(labels.ravel()).min() >= 20
    for value in values:
        assert cv2.connectedComponents((labels == value).astype(np.uint8), connectivity=4)[0] == 2


def test_a_flat_picture_and_a_single_pixel_are_one_superpixel():
    assert superpixels(np.full((9, 7, 3), 80, np.uint8)).max() == 0
    graph = region_graph(np.full((1, 1, 3), 80, np.uint8), np.zeros((1, 1), np.int32))
    assert graph.count == 1
    assert graph.edges.shape == (0, 2)


def test_borders_equal_pixel_pairs_counted_one_by_one():
    image = crop(data.coffee(), (60, 80))
    labels = superpixels(image, 40, 8)
    graph = region_graph(image, labels)
    expected = oracle_regions.borders(labels, boundary_strength(lab_image(image)))
    assert [tuple(edge) for edge in graph.edges.tolist()] == sorted(expected)
    for edge, border, boundary in zip(graph.edges.tolist(), graph.border, graph.boundary, strict=True):
        assert border == expected[tuple(edge)][0]
        assert boundary == pytest.approx(expected[tuple(edge)][1], rel=1e-4)


def test_borders_of_a_region_with_very_many_neighbours():
    labels = np.zeros((2, 4001), np.int32)
    labels[1] = np.arange(1, 4002)
    graph = region_graph(np.zeros((2, 4001, 3), np.uint8), labels)
    assert len(graph.edges) == 4001 + 4000


def test_sizes_and_colours_are_those_of_the_superpixels():
    image = crop(data.chelsea(), (40, 60))
    labels = superpixels(image, 40, 8)
    graph = region_graph(image, labels)
    lab = lab_image(image)
    for k in range(graph.count):
        assert graph.sizes[k] == (labels == k).sum()
        np.testing.assert_allclose(graph.lab[k], lab[labels == k].mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(region_sums(lab, labels, graph.count).sum(0), lab.sum((0, 1)), rtol=1e-4)


def test_boundary_strength_is_found_where_two_colours_meet():
    image = np.full((64, 96, 3), 90, np.uint8)
    image[:, 48:] = (200, 60, 60)
    strength = boundary_strength(lab_image(image))
    assert strength.mean() == pytest.approx(1, rel=1e-5)
    assert set(strength.argmax(axis=1).tolist()) <= {47, 48}
    assert not boundary_strength(lab_image(np.full((32, 32, 3), 90, np.uint8))).any()


def test_pooled_features_are_means_of_bilinear_samples():
    labels = superpixels(crop(data.astronaut(), (61, 83)), 60, 10)
    count = labels.max() + 1
    features = np.random.default_rng(0).normal(size=(5, 8, 11)).astype(np.float32)
    dense = np.stack([cv2.resize(f, labels.shape[::-1], interpolation=cv2.INTER_LINEAR) for f in features])
    pooled = pool_features(features, labels, count)
    for k in range(count):
        own = np.zeros_like(labels, bool)
        own[::2, ::2] = labels[::2, ::2] == k
        own = own if own.any() else labels == k
        np.testing.assert_allclose(pooled[k], dense[:, own].mean(axis=1), atol=1e-4)


def test_superpixels_between_the_samples_are_still_pooled():
    labels = np.zeros((6, 6), np.int32)
    labels[:, 3] = 1  # only odd columns: no sample of every second pixel falls on it
    features = np.tile(np.arange(6, dtype=np.float32), (1, 6, 1))
    assert pool_features(features, labels, 2)[1, 0] == pytest.approx(3)
