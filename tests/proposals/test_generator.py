"""The generator as a whole: what it returns, that it repeats itself, and how good its proposals are."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from benchmarks.proposals import VOID, best_overlaps, block_features, ours
from skimage import data

from prm_evaluation.datasets import open_voc
from prm_proposals import presets
from prm_proposals.generator import ProposalError, ProposalGenerator
from prm_proposals.settings import ProposalSettings, TreeSettings
from prm_runtime.bundle import shipped_bundle
from prm_runtime.sources.pictures import read_picture


def tap_maps(seed: int = 0):
    """Smooth random maps under the names of Lite0's blocks."""
    rng = np.random.default_rng(seed)
    sides = {"block4": (40, 56), "block10": (20, 28), "block14": (10, 14), "block15": (10, 14)}
    return {name: rng.normal(0, 0.25, (16, *side)).astype(np.float32) for name, side in sides.items()}


@pytest.mark.parametrize(
    "settings",
    [presets.NO_NETWORK, presets.LIVE, presets.OFFLINE],
    ids=["no network", "live", "offline"],
)
def test_proposals_are_distinct_limited_and_reproducible(settings: ProposalSettings):
    generator = ProposalGenerator(settings)
    graph = generator.regions(data.chelsea())
    assert max(graph.labels.shape) == settings.long_side
    gallery = generator.propose(graph, tap_maps())
    again = ProposalGenerator(settings).propose(generator.regions(data.chelsea()), tap_maps())
    assert np.array_equal(gallery.members, again.members)
    assert np.array_equal(gallery.labels, again.labels)

    assert 300 < len(gallery) <= settings.max_proposals
    areas = gallery.members @ graph.sizes / graph.labels.size
    assert areas.min() >= settings.min_area
    assert areas.max() <= settings.max_area
    members = gallery.members.astype(np.float32)
    overlap = (members * graph.sizes) @ members.T
    pixels = np.diagonal(overlap)
    iou = overlap / (pixels[:, None] + pixels[None, :] - overlap)
    np.fill_diagonal(iou, 0)
    assert iou.max() <= settings.suppression_iou + 1e-4


def test_fewer_proposals_are_the_first_of_more():
    graph = ProposalGenerator().regions(data.coffee())
    many = ProposalGenerator().propose(graph)
    few = ProposalGenerator(replace(presets.NO_NETWORK, max_proposals=100)).propose(graph)
    assert np.array_equal(few.members, many.members[:100])


def test_a_drawn_object_is_proposed():
    image = np.full((240, 320, 3), (90, 120, 90), np.uint8)
    mask = cv2.circle(np.zeros((240, 320), np.uint8), (140, 110), 60, 1, cv2.FILLED) > 0
    image[mask] = (200, 80, 40)
    image[mask & (np.arange(320) > 140)] = (40, 60, 190)  # of two colours: only a union of superpixels fits
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    generator = ProposalGenerator()
    gallery = generator.propose(generator.regions(noisy))
    assert best_overlaps(gallery, mask[None]).max() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (2, 2), (1200, 900)])
def test_any_picture_size(size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    generator = ProposalGenerator()
    graph = generator.regions(image)
    gallery = generator.propose(graph)
    assert gallery.labels.shape == graph.labels.shape
    assert np.bincount(gallery.labels.ravel()).tolist() == graph.sizes.tolist()


def test_a_flat_picture_has_no_proposals():
    generator = ProposalGenerator()
    assert len(generator.propose(generator.regions(np.full((60, 80, 3), 99, np.uint8)))) == 0


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_a_picture_of_the_wrong_kind_is_explained(image):
    with pytest.raises(ProposalError, match=r"RGB uint8 \[H, W, 3\]"):
        ProposalGenerator().regions(image)


def test_missing_feature_maps_are_named():
    with pytest.raises(ProposalError, match="'block15'"):
        ProposalGenerator(presets.LIVE, available=["block4", "block10", "block14"])
    generator = ProposalGenerator(presets.LIVE, available=list(tap_maps()))
    with pytest.raises(ProposalError, match="'block4'"):
        generator.propose(generator.regions(data.coffee()))
    with pytest.raises(ProposalError, match="at least one tree"):
        ProposalGenerator(ProposalSettings(trees=()))


def test_the_preset_follows_the_taps():
    assert presets.for_taps(tap_maps()) == presets.LIVE
    assert presets.for_taps(["block4"]) == presets.NO_NETWORK


@pytest.mark.parametrize(
    "trees", [(TreeSettings(0.2, ("a", "b", "c")),), (TreeSettings(1.0),), presets.LIVE.trees]
)
def test_presets_stay_for_settings_that_no_other_network_made(trees: tuple[TreeSettings, ...]) -> None:
    settings = ProposalSettings(trees=trees)
    assert presets.for_network_of(settings, presets.OFFLINE) == presets.OFFLINE


@pytest.mark.parametrize(
    ("taps", "features"),
    [
        (
            ["block6", "block14", "block19", "block20"],
            [("block6", "block14", "block20"), ("block14", "block19")],
        ),
        (["block1", "block2", "block3"], [("block1", "block2", "block3"), ("block2", "block3")]),
    ],
)
def test_networks_with_other_blocks_get_the_same_trees(
    taps: list[str], features: list[tuple[str, ...]]
) -> None:
    trees = presets.for_taps(taps).trees
    assert [tree.features for tree in trees] == features
    assert [tree.boundary for tree in trees] == [tree.boundary for tree in presets.LIVE.trees]
    assert all(isinstance(tree, TreeSettings) for tree in presets.LIVE.trees)


@pytest.mark.voc
@pytest.mark.parametrize(
    ("settings", "abo", "recall"),
    [(presets.NO_NETWORK, 0.68, 0.83), (presets.LIVE, 0.715, 0.865), (presets.OFFLINE, 0.76, 0.89)],
    ids=["no network", "live", "offline"],
)
def test_quality_floor_on_voc(voc_root, settings: ProposalSettings, abo: float, recall: float):
    dataset = open_voc(voc_root, "val")
    propose, features = ours(settings), block_features(shipped_bundle())
    overlaps = []
    for sample in dataset.samples[:240:4]:
        image = read_picture(sample.image_path)
        masks, _ = dataset.instance_masks(sample)
        valid = dataset.class_mask(sample) != VOID
        overlaps.append(best_overlaps(propose(image, features(image))[0], masks, valid))
    best = np.concatenate(overlaps)
    assert best.mean() >= abo
    assert (best > 0.5).mean() >= recall
