"""Galleries made elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from prm_proposals.gallery import Gallery, GalleryError

MASKS = np.random.default_rng(0).random((5, 12, 17)) < 0.4


def test_masks_come_back_from_their_common_refinement():
    gallery = Gallery.from_masks(MASKS)
    assert np.array_equal(gallery.masks(), MASKS)
    assert np.array_equal(gallery.masks([3, 1]), MASKS[[3, 1]])
    assert len(gallery) == 5
    assert gallery.members.shape[1] == len(np.unique(MASKS.reshape(5, -1), axis=1).T)


def test_no_masks_make_an_empty_gallery():
    gallery = Gallery.from_masks(np.zeros((0, 4, 6), bool))
    assert gallery.masks().shape == (0, 4, 6)


def test_saved_and_loaded(tmp_path):
    gallery = Gallery.from_masks(MASKS)
    gallery.save(tmp_path / "gallery.npz")
    loaded = Gallery.load(tmp_path / "gallery.npz")
    assert np.array_equal(loaded.labels, gallery.labels)
    assert np.array_equal(loaded.members, gallery.members)
    np.savez(tmp_path / "masks.npz", masks=MASKS.astype(np.uint8) * 255)
    assert np.array_equal(Gallery.load(tmp_path / "masks.npz").masks(), MASKS)


def test_coco_rle_compressed_uncompressed_and_in_annotations():
    compressed = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in MASKS]
    text = [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in compressed]
    runs = [{"segmentation": {"size": [12, 17], "counts": column_runs(mask)}} for mask in MASKS]
    for masks in (compressed, text, runs):
        assert np.array_equal(Gallery.from_coco_rle(masks).masks(), MASKS)


def column_runs(mask) -> list[int]:
    """COCO's uncompressed RLE: lengths of alternating runs in column order, background first."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = bool(pixel)
        runs[-1] += 1
    return runs


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([], "at least one"),
        ([{"counts": "abc"}], "mask 0: expected RLE"),
        ([{"segmentation": [[0, 0, 5, 0, 5, 5]]}], "mask 0: expected RLE"),
        ([{"size": [2, 2], "counts": [1, 2]}], "add up to 3 pixels"),
        ([{"size": [2, 2], "counts": [5, -1]}], "not a valid COCO RLE"),
        ([{"size": [2, 2], "counts": "o" * 40}], "not a valid COCO RLE"),
        ([{"size": [2, -2], "counts": [4]}], "not a valid COCO RLE"),
        ([{"size": [2, 2], "counts": [4]}, {"size": [2, 3], "counts": [6]}], "of one picture"),
    ],
)
def test_bad_rle_is_explained(annotations, message):
    with pytest.raises(GalleryError, match=message):
        Gallery.from_coco_rle(annotations)


def test_bad_arrays_are_explained():
    labels, members = np.zeros((3, 4), np.int32), np.ones((2, 1), bool)
    with pytest.raises(GalleryError, match="labels must be int32"):
        Gallery(labels.astype(np.float32), members)
    with pytest.raises(GalleryError, match="members must be bool"):
        Gallery(labels, members.astype(np.uint8))
    with pytest.raises(GalleryError, match=r"labels must lie in 0\.\.0"):
        Gallery(labels + 1, members)
    with pytest.raises(GalleryError, match=r"masks must be \[N, h, w\]"):
        Gallery.from_masks(np.zeros((3, 4)))


def test_bad_files_are_explained(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(b"PK\x03\x04 no zip at all")
    with pytest.raises(GalleryError, match=r"expected an \.npz file"):
        Gallery.load(path)
    np.save(tmp_path / "one.npy", MASKS)
    with pytest.raises(GalleryError, match=r"expected an \.npz file"):
        Gallery.load(tmp_path / "one.npy")
    np.savez(path, pictures=MASKS)
    with pytest.raises(GalleryError, match='expected arrays "labels" and "members"'):
        Gallery.load(path)
    np.savez(path, masks=np.array([{"a": 1}], dtype=object))
    with pytest.raises(GalleryError, match=r"expected an \.npz file of plain arrays"):
        Gallery.load(path)
    np.savez(path, labels=np.zeros((2, 2)), members=np.ones((1, 1), bool))
    with pytest.raises(GalleryError, match=r"bad\.npz: labels must be integers"):
        Gallery.load(path)
    with pytest.raises(FileNotFoundError):
        Gallery.load(tmp_path / "absent.npz")
