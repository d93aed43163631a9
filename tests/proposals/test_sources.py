"""Proposal sources by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.fixtures.mask_models import write_colour_model

from prm_proposals import presets
from prm_proposals.gallery import Gallery
from prm_proposals.gallery_folder import GalleryFolder
from prm_proposals.generator import ProposalGenerator
from prm_proposals.onnx_masks import OnnxMasks
from prm_proposals.picture import Picture, ProposalError
from prm_proposals.settings import ProposalSettings
from prm_proposals.sources import create_source

SETTINGS = ProposalSettings(max_proposals=7)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("default", SETTINGS),
        ("no-network", presets.NO_NETWORK),
        ("live", presets.LIVE),
        ("offline", presets.OFFLINE),
    ],
)
def test_generators_by_name(name: str, settings: ProposalSettings):
    source = create_source(name, SETTINGS)
    assert isinstance(source, ProposalGenerator)
    assert source.settings == settings


def test_files_and_folders_by_their_path(tmp_path):
    assert isinstance(create_source(str(write_colour_model(tmp_path / "m.ONNX")), SETTINGS), OnnxMasks)
    Gallery.from_masks(np.ones((1, 4, 4))).save(tmp_path / "dog.npz")
    assert isinstance(create_source(str(tmp_path), SETTINGS), GalleryFolder)


def test_every_source_answers_on_the_superpixels_of_the_picture(tmp_path):
    image = np.zeros((90, 120, 3), np.uint8)
    cv2.circle(image, (60, 40), 25, (200, 0, 0), cv2.FILLED)
    mask = image[..., 0] > 0
    graph = ProposalGenerator().regions(image)
    Gallery.from_masks(mask[None]).save(tmp_path / "disc.npz")
    model = write_colour_model(tmp_path / "m.onnx")
    names = ["default", "no-network", str(tmp_path), str(model)]
    if hasattr(cv2, "ximgproc"):
        names.append("selective-search")
    for name in names:
        source = create_source(name, ProposalSettings(), threads=1)
        assert source.feature_names == ()
        gallery = source(Picture(image, graph, {}, "disc"))
        assert gallery.labels is graph.labels
        truth = cv2.resize(mask.astype(np.uint8), graph.labels.shape[::-1]) > 0
        overlaps = [(found & truth).sum() / (found | truth).sum() for found in gallery.masks()]
        assert max(overlaps) > 0.9, name


def test_features_reach_the_generator():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    source = create_source("live", SETTINGS)
    graph = ProposalGenerator().regions(image)
    features = {name: np.random.default_rng(1).normal(size=(4, 6, 8)) for name in source.feature_names}
    maps = {name: value.astype(np.float32) for name, value in features.items()}
    expected = ProposalGenerator(presets.LIVE).propose(graph, maps)
    assert np.array_equal(source(Picture(image, graph, maps)).members, expected.members)
    with pytest.raises(ProposalError, match="need feature maps"):
        source(Picture(image, graph, {}))


def test_what_is_neither_is_explained(tmp_path):
    with pytest.raises(
        ProposalError, match=r"no proposals 'mcg'; choose default, no-network, live, offline, selective-"
    ):
        create_source("mcg", SETTINGS)
    with pytest.raises(ProposalError, match=r"an \.onnx file or a folder of galleries"):
        create_source(str(tmp_path / "absent"), SETTINGS)
