"""The second stage: a mask head learns extents better than the priors that it learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fixtures.labelled_regions import CLASSES, DIMENSIONS, Scene, draw_scene
from torch import nn

from prm_proposals.settings import WalkSettings
from prm_runtime.console import PrmError
from prm_train.config import MaskRecipe
from prm_train.mask_fitting import StandardFeatures, Targets, fit_layer
from prm_train.mask_head import MaskHead
from prm_train.mask_training import balanced_weights, competing_labels, fit_mask_head
from prm_train.pseudo_masks import pseudo_labels

RECIPE = MaskRecipe(
    map_restart=0.05,
    restart=0.05,
    background=0.0,
    confidence=0.4,
    epochs=20,
    batch_size=64,
    learning_rate=0.02,
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene()


def fitted(scene: Scene, recipe: MaskRecipe = RECIPE, seed: int = 0) -> MaskHead:
    head = MaskHead({"block0": DIMENSIONS}, {"block0": 1}, CLASSES)
    fit_mask_head(head, scene.features, scene.pictures, recipe, seed)
    return head


@torch.no_grad()
def winners(head: MaskHead, scene: Scene) -> np.ndarray:
    """What each superpixel shows by the head alone, among what its picture is labelled with."""
    features = torch.from_numpy(scene.features.astype(np.float32))
    logits = head({0: features.T[None, ..., None]})[0, ..., 0].T.numpy()
    return np.where(competing_labels(scene.pictures, 1 + CLASSES), logits, -np.inf).argmax(axis=1)


def accuracy(found: np.ndarray, scene: Scene) -> float:
    """Mean over background and objects, so that neither can be sacrificed."""
    objects = scene.truth > 0
    right = found == scene.truth
    return float((right[objects].mean() + right[~objects].mean()) / 2)


def test_the_head_knows_extents_better_than_what_it_learnt_from(scene: Scene) -> None:
    priors = np.concatenate(
        [np.array([0, *(1 + picture.classes)])[picture.prior.argmax(axis=1)] for picture in scene.pictures]
    )
    walked = pseudo_labels(scene.pictures, WalkSettings(lab_scale=RECIPE.lab_scale, restart=0.05), 0.0)
    head = accuracy(winners(fitted(scene), scene), scene)
    assert accuracy(priors, scene) < 0.75
    assert head > accuracy(walked, scene) + 0.1
    assert head > 0.85


def test_it_knows_them_in_pictures_it_has_not_seen(scene: Scene) -> None:
    half = len(scene.pictures) // 2
    rows = scene.pictures[half].first
    seen = Scene(scene.pictures[:half], scene.features[:rows], scene.truth[:rows])
    shifted = [replace(picture, first=picture.first - rows) for picture in scene.pictures[half:]]
    unseen = Scene(shifted, scene.features[rows:], scene.truth[rows:])
    assert accuracy(winners(fitted(seen), unseen), unseen) > 0.85


def test_another_round_learns_from_the_head_what_the_maps_missed() -> None:
    timid = draw_scene(response=0.4)  # class maps cover less than half of the objects
    first, third = (
        accuracy(winners(fitted(timid, replace(RECIPE, rounds=rounds)), timid), timid) for rounds in (1, 3)
    )
    assert third > first + 0.02


def test_only_the_seed_decides(scene: Scene) -> None:
    a, b, c = (fitted(scene, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_each_round_is_reported(scene: Scene) -> None:
    lines: list[str] = []
    head = MaskHead({"block0": DIMENSIONS}, {"block0": 1}, CLASSES)
    fit_mask_head(head, scene.features, scene.pictures, replace(RECIPE, rounds=2), 0, lines.append)
    assert [line.split(":")[0] for line in lines] == ["mask head, round 1/2", "mask head, round 2/2"]
    assert "% of the superpixels labelled" in lines[0]


def test_nothing_sure_is_an_error_for_people(scene: Scene) -> None:
    with pytest.raises(PrmError, match=r"no superpixel .* is sure of its label: lower map_confidence or"):
        fitted(scene, replace(RECIPE, map_confidence=0.9999))


def test_classes_that_a_picture_lacks_take_no_part(scene: Scene) -> None:
    competing = torch.tensor([[True, True, False, True]]).expand(len(scene.truth), -1)
    labels = torch.from_numpy(np.where(scene.truth == 2, 0, scene.truth))
    targets = Targets(torch.arange(len(labels)), labels, torch.ones(len(labels)), competing)
    layer, _ = fit_layer(StandardFeatures.of(scene.features), targets, replace(RECIPE, weight_decay=0), 5)
    torch.manual_seed(5)
    fresh = nn.Linear(DIMENSIONS, 1 + CLASSES)
    unchanged = (layer.weight == fresh.weight).all(dim=1) & (layer.bias == fresh.bias)
    assert unchanged.tolist() == [False, False, True, False]


def test_background_and_the_pictures_classes_compete(scene: Scene) -> None:
    competing = competing_labels(scene.pictures, 1 + CLASSES)
    assert competing.shape == (len(scene.truth), 1 + CLASSES)
    for picture in scene.pictures:
        names = {0, *(1 + picture.classes).tolist()}
        assert (competing[picture.rows] == [name in names for name in range(1 + CLASSES)]).all()


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_weights_are_pixels_by_the_rarity_of_their_label(balance: float) -> None:
    labels, sizes = [0, 0, 2, 0, 1, 2], [30.0, 50.0, 5.0, 100.0, 10.0, 5.0]
    raw = []
    for label, size in zip(labels, sizes, strict=True):
        share = sum(s for n, s in zip(labels, sizes, strict=True) if n == label) / sum(sizes)
        raw.append(size * share**-balance)
    found = balanced_weights(torch.tensor(labels), torch.tensor(sizes), balance)
    np.testing.assert_allclose(found.numpy(), np.array(raw) / np.mean(raw), rtol=1e-5)
    if balance == 1:
        assert found[[2, 5]].sum() == pytest.approx(found[[0, 1, 3]].sum().item())


def test_a_layer_on_standardised_features_is_one_on_plain_features() -> None:
    values = np.random.default_rng(0).normal(3, [1, 20, 0], (500, 3)).astype(np.float16)
    features, layer = StandardFeatures.of(values, sample=100), nn.Linear(3, 4)
    read = features[slice(0, 500)]
    assert read.isfinite().all()
    assert read[:, :2].mean(0).abs().max() < 0.3
    weight, bias = features.on_plain(layer)
    plain = torch.from_numpy(values.astype(np.float32)) @ weight.T + bias
    torch.testing.assert_close(plain, layer(read), atol=1e-3, rtol=1e-4)
