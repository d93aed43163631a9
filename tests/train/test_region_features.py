"""Features and priors of superpixels, against the network run picture by picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.tiny_backbone import tiny_model
from tests.oracles import walk as oracle

from prm_evaluation.datasets import open_dataset
from prm_proposals.generator import ProposalGenerator
from prm_proposals.pooling import pool_features
from prm_proposals.settings import WalkSettings
from prm_runtime.console import PrmError
from prm_runtime.manifest import Preprocessing
from prm_train.augment import fit
from prm_train.config import MaskRecipe
from prm_train.data import LabelledPictures, normalise
from prm_train.fcn import FullyConvolutional
from prm_train.region_features import region_features

RECIPE = MaskRecipe(foreground_level=0.2, foreground_scale=0.1)


@pytest.fixture
def network() -> FullyConvolutional:
    """A network whose class maps respond everywhere."""
    network = tiny_model().train()
    torch.nn.init.constant_(network.classifier.bias, 5.0)
    return network


@pytest.fixture
def pictures(folder: Path) -> LabelledPictures:
    network = tiny_model()
    preprocessing = Preprocessing(size=64, multiple=32, mean=network.backbone.mean, std=network.backbone.std)
    return LabelledPictures(open_dataset(folder, "train"), partial(fit, preprocessing=preprocessing))


@torch.no_grad()
def test_every_picture_has_its_own_rows(
    network: FullyConvolutional, pictures: LabelledPictures, tmp_path: Path
) -> None:
    features, found = region_features(network, pictures, RECIPE, tmp_path, workers=0)
    assert not network.training
    assert features.dtype == np.float16
    assert len(found) == len(pictures)
    backbone, generator = network.backbone, ProposalGenerator()
    first = 0
    for (pixels, labels), regions in zip(map(pictures.__getitem__, range(8)), found, strict=True):
        graph = generator.regions(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
        assert regions.rows == slice(first, first := first + graph.count)
        assert regions.classes.tolist() == labels.nonzero().flatten().tolist()
        M, outputs = backbone.forward_with_blocks(
            normalise(pixels[None], backbone.mean, backbone.std), backbone.taps
        )
        M = network.classifier(M)[0].numpy()[regions.classes]
        expected = [
            pool_features(outputs[block][0].numpy(), graph.labels, graph.count) for block in backbone.taps
        ]
        # what half precision rounds, and below 6e-5 its last digit
        np.testing.assert_allclose(
            features[regions.rows], np.concatenate(expected, axis=1), rtol=5e-4, atol=6e-8
        )
        walk = WalkSettings(foreground_level=0.2, foreground_scale=0.1)
        np.testing.assert_allclose(regions.prior, oracle.priors(M, graph, walk), atol=1e-4)
    assert len(features) == first


def test_worker_processes_change_nothing(
    network: FullyConvolutional, pictures: LabelledPictures, tmp_path: Path
) -> None:
    (alone, _), (helped, _) = (region_features(network, pictures, RECIPE, tmp_path, n) for n in (0, 1))
    np.testing.assert_array_equal(alone, helped)


def test_pictures_whose_maps_do_not_respond_are_left_out(
    network: FullyConvolutional, pictures: LabelledPictures, tmp_path: Path
) -> None:
    silent = 1
    torch.nn.init.zeros_(network.classifier.weight)
    torch.nn.init.constant_(network.classifier.bias[silent : silent + 1], -1.0)
    features, found = region_features(network, pictures, RECIPE, tmp_path, workers=0)
    kept = [pictures.labels(n).nonzero().item() for n in range(8) if not pictures.labels(n)[silent]]
    assert [regions.classes.item() for regions in found] == kept
    assert 0 < len(kept) < 8
    assert [regions.first for regions in found] == np.cumsum(
        [0, *(regions.graph.count for regions in found[:-1])]
    ).tolist()
    assert len(features) == found[-1].rows.stop


def test_a_picture_without_labels_teaches_the_background(
    network: FullyConvolutional, folder: Path, tmp_path: Path
) -> None:
    for path in folder.glob("*.png"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "labels.csv").write_text("file,labels\n0.png,\n1.png,green\n")
    preprocessing = Preprocessing(size=64, multiple=32, mean=(0, 0, 0), std=(1, 1, 1))
    pictures = LabelledPictures(open_dataset(tmp_path, "train"), partial(fit, preprocessing=preprocessing))
    torch.nn.init.constant_(network.classifier.bias, 5.0)
    _, (nothing, _) = region_features(network, pictures, RECIPE, tmp_path, workers=0)
    assert nothing.classes.size == 0
    assert (nothing.prior == np.ones((nothing.graph.count, 1))).all()


def test_no_file_is_left_and_the_features_stay_readable(
    network: FullyConvolutional, pictures: LabelledPictures, tmp_path: Path
) -> None:
    features, _ = region_features(network, pictures, RECIPE, tmp_path, workers=0)
    assert isinstance(features, np.memmap)
    assert list(tmp_path.iterdir()) == []
    assert np.isfinite(features).all()
    assert features.any()


def test_a_network_that_responds_to_nothing_is_an_error_for_people(
    network: FullyConvolutional, pictures: LabelledPictures, tmp_path: Path
) -> None:
    torch.nn.init.zeros_(network.classifier.weight)
    torch.nn.init.constant_(network.classifier.bias, -1.0)
    with pytest.raises(PrmError, match="respond to no training picture's labels: train the classifier for"):
        region_features(network, pictures, RECIPE, tmp_path, workers=0)
    assert list(tmp_path.iterdir()) == []


def test_features_beyond_half_precision_are_an_error_for_people(
    network: FullyConvolutional, pictures: LabelledPictures, tmp_path: Path
) -> None:
    torch.nn.init.constant_(network.backbone.get_parameter("layers.2.1.bias"), 1e6)
    torch.nn.init.zeros_(network.classifier.weight)
    with pytest.raises(PrmError, match=r"features beyond float16 \(65504\): leave out mask_head"):
        region_features(network, pictures, RECIPE, tmp_path, workers=0)
