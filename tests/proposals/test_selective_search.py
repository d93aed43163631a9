"""Selective search: the grouping against an oracle and, where contrib is there, against OpenCV's own."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from benchmarks.proposals import best_overlaps
from skimage import data
from tests.fixtures.evidence import random_graph
from tests.oracles import selective_search as oracle

from prm_proposals.generator import ProposalGenerator
from prm_proposals.picture import Picture, ProposalError
from prm_proposals.regions import region_graph
from prm_proposals.selective_search import Mixture, SelectiveSearch, group
from prm_proposals.settings import ProposalSettings

contrib = pytest.mark.skipif(
    not hasattr(cv2, "ximgproc"), reason="needs opencv-contrib-python in place of opencv-python"
)


class SizeSimilarity:
    """The paper's size similarity: small regions merge early."""

    def __init__(self, sizes):
        self.sizes = sizes.astype(np.float64)
        self.total = self.sizes.sum()

    def get(self, a: int, b: int) -> float:
        return 1 - (self.sizes[a] + self.sizes[b]) / self.total

    def merge(self, a: int, b: int) -> None:
        self.sizes[[a, b]] = self.sizes[a] + self.sizes[b]


@pytest.mark.parametrize("seed", range(5))
def test_grouping_equals_the_oracle(seed: int):
    graph = random_graph(np.random.default_rng(seed))
    children = group(SizeSimilarity(graph.sizes), graph.edges, graph.count)
    assert [tuple(pair) for pair in children.tolist()] == oracle.group(
        SizeSimilarity(graph.sizes), graph.edges, graph.count
    )
    assert len(children) == graph.count - 1


def test_a_single_superpixel_has_nothing_to_group():
    assert group(SizeSimilarity(np.ones(1)), np.zeros((0, 2), np.int32), 1).shape == (0, 2)


@pytest.mark.skipif(hasattr(cv2, "ximgproc"), reason="OpenCV's contrib modules are installed")
def test_without_contrib_it_says_what_to_install():
    with pytest.raises(ProposalError, match=r"pip install opencv-contrib-python") as caught:
        SelectiveSearch()
    assert "\n" not in str(caught.value)


@contrib
@pytest.mark.parametrize("with_colour", [True, False])
def test_regions_have_the_rectangles_of_opencvs_own_grouping(with_colour: bool):
    image = cv2.resize(data.coffee(), (160, 107), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    segmentation = cv2.ximgproc.segmentation
    superpixels = segmentation.createGraphSegmentation(0.8, 150, 60)
    graph = region_graph(image, superpixels.processImage(hsv))
    mixture = Mixture(hsv, graph.labels, with_colour)
    search = segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(hsv)
    search.addImage(hsv)
    search.addGraphSegmentation(superpixels)
    search.addStrategy(Mixture(hsv, graph.labels, with_colour).strategy)
    expected = {tuple(rectangle) for rectangle in search.process().tolist()}

    children = group(mixture, graph.edges, graph.count)
    nodes = list(np.eye(graph.count, dtype=bool))
    for i, j in children:
        nodes.append(nodes[i] | nodes[j])
    found = {cv2.boundingRect(node[graph.labels].astype(np.uint8)) for node in nodes}
    assert found == expected


@contrib
def test_proposals_are_distinct_limited_and_reproducible():
    graph = ProposalGenerator().regions(data.chelsea())
    picture = Picture(data.chelsea(), graph, {})
    settings = ProposalSettings(min_area=0.01, max_area=0.5, max_proposals=50)
    gallery = SelectiveSearch(settings)(picture)
    assert gallery.labels is graph.labels
    assert len(gallery) == 50
    share = gallery.members @ graph.sizes / graph.labels.size
    assert share.min() >= 0.01
    assert share.max() <= 0.5
    assert np.array_equal(gallery.members, SelectiveSearch(settings)(picture).members)
    few = SelectiveSearch(replace(settings, max_proposals=20))(picture)
    assert np.array_equal(few.members, gallery.members[:20])


@contrib
def test_a_drawn_object_is_proposed_and_a_flat_picture_has_none():
    image = np.full((240, 320, 3), (90, 120, 90), np.uint8)
    mask = cv2.circle(np.zeros((240, 320), np.uint8), (140, 110), 60, 1, cv2.FILLED) > 0
    image[mask] = (200, 80, 40)
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    gallery = SelectiveSearch()(Picture(noisy, ProposalGenerator().regions(noisy), {}))
    assert best_overlaps(gallery, mask[None]).max() > 0.95
    flat = np.full((60, 80, 3), 99, np.uint8)
    assert len(SelectiveSearch()(Picture(flat, ProposalGenerator().regions(flat), {}))) == 0
