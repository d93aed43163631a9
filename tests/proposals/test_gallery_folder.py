"""Galleries from a folder, found by the picture's name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco
from tests.fixtures.evidence import random_graph

from prm_proposals.gallery import Gallery, GalleryError
from prm_proposals.gallery_folder import GalleryFolder
from prm_proposals.picture import Picture, ProposalError

GRAPH = random_graph(np.random.default_rng(0))
MEMBERS = np.random.default_rng(1).random((5, GRAPH.count)) < 0.4


def picture(name: str | None, size: tuple[int, int] = (96, 128)) -> Picture:
    return Picture(np.zeros((*size, 3), np.uint8), GRAPH, {}, name)


def rle(mask) -> dict:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def test_npz_by_name(tmp_path):
    Gallery(GRAPH.labels, MEMBERS).save(tmp_path / "dog.npz")
    Gallery(GRAPH.labels, MEMBERS[:2]).save(tmp_path / "clip_000012.npz")
    folder = GalleryFolder(tmp_path)
    assert np.array_equal(folder(picture("dog")).members, MEMBERS)
    assert np.array_equal(folder(picture("clip_000012")).members, MEMBERS[:2])
    assert folder(picture("dog")).labels is GRAPH.labels


@pytest.mark.parametrize("shape", ["results", "rle", "sa-1b"])
def test_coco_json_at_the_pictures_resolution(tmp_path, shape: str):
    masks = np.kron(Gallery(GRAPH.labels, MEMBERS).masks(), np.ones((1, 2, 2), bool))
    entries = [rle(mask) for mask in masks]
    if shape != "rle":
        entries = [{"segmentation": entry, "image_id": 7} for entry in entries]
    content = {"image": {}, "annotations": entries} if shape == "sa-1b" else entries
    (tmp_path / "dog.json").write_text(json.dumps(content))
    assert np.array_equal(GalleryFolder(tmp_path)(picture("dog")).members, MEMBERS)


def test_a_picture_in_which_nothing_was_found(tmp_path):
    (tmp_path / "dog.json").write_text("[]")
    gallery = GalleryFolder(tmp_path)(picture("dog"))
    assert gallery.members.shape == (0, GRAPH.count)


@pytest.mark.parametrize("size", [(96, 127), (96, 129), (95, 128), (48, 64), (480, 643)])
def test_a_side_rounded_to_whole_pixels_is_the_same_aspect(tmp_path, size: tuple[int, int]):
    Gallery(GRAPH.labels, MEMBERS).save(tmp_path / "dog.npz")
    assert len(GalleryFolder(tmp_path)(picture("dog", size))) == 5


@pytest.mark.parametrize(
    ("files", "asked", "message"),
    [
        ({"dog.json": "{"}, picture("dog"), r"dog\.json: expected COCO RLE masks in JSON"),
        ({"dog.json": b"\xff\xfe\xfa"}, picture("dog"), r"dog\.json: expected COCO RLE masks in JSON"),
        ({"dog.json": '{"a": 1}'}, picture("dog"), r"dog\.json: expected a list of COCO RLE masks"),
        ({"dog.json": '[{"a": 1}]'}, picture("dog"), r"dog\.json: mask 0: expected RLE"),
        ({"dog.npz": "no"}, picture("dog"), r"dog\.npz: expected an \.npz file"),
        ({"dog.json": "[]"}, picture("cat"), r"cat\.npz: no such gallery, nor cat\.json; make one"),
        (
            {"dog.json": json.dumps([rle(np.ones((64, 48)))])},
            picture("dog"),
            r"dog\.json: the gallery is of a picture with another aspect, 48 x 64 pixels for 128 x 96",
        ),
    ],
)
def test_bad_galleries_are_explained(tmp_path, files, asked: Picture, message: str):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GalleryError, match=message) as caught:
        GalleryFolder(tmp_path)(asked)
    assert "\n" not in str(caught.value)


def test_a_folder_without_galleries_and_a_picture_without_a_name(tmp_path):
    (tmp_path / "dog.jpg").touch()
    with pytest.raises(ProposalError, match=r"no galleries in this folder; expected NAME\.npz or"):
        GalleryFolder(tmp_path)
    (tmp_path / "dog.json").write_text("[]")
    with pytest.raises(ProposalError, match="found by their picture's name, but this picture has none"):
        GalleryFolder(tmp_path)(picture(None))
