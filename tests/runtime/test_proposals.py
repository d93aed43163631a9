"""``prm-run --proposals`` and the same choice inside one's own program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs
from tests.fixtures.mask_models import write_constant_model
from tests.fixtures.media import moving_blobs, write_lossless_video, write_png

from prm_proposals.gallery import Gallery
from prm_proposals.gallery_folder import GalleryFolder
from prm_proposals.presets import LIVE, OFFLINE
from prm_runtime.bundle import Bundle, shipped_bundle, with_manifest
from prm_runtime.console import PrmError
from prm_runtime.results import decode_mask
from prm_runtime.segmenter import Segmenter

PrmRun = Callable[..., Any]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_png(tmp_path / "blobs.png", draw_blobs()[0])


@pytest.fixture
def galleries(tmp_path: Path) -> Path:
    """A folder with a gallery of ``blobs``: each of the blobs."""
    folder = tmp_path / "galleries"
    folder.mkdir()
    Gallery.from_masks(draw_blobs()[1]).save(folder / "blobs.npz")
    return folder


def test_a_preset_brings_its_own_grid() -> None:
    image, _ = draw_blobs()
    live, offline = (Segmenter.open(proposals=name).evidence(image) for name in ("live", "offline"))
    assert max(live.graph.labels.shape) == LIVE.long_side
    assert max(offline.graph.labels.shape) == OFFLINE.long_side
    assert offline.gallery.labels is offline.graph.labels
    assert len(offline.gallery) > len(live.gallery)


def test_instances_are_proposals_of_the_folder(
    prm_run: PrmRun, colour_bundle: Path, picture: Path, galleries: Path
) -> None:
    """The gallery holds squares, which no other proposals are."""
    squares = np.zeros((3, 336, 448), bool)
    for square, blob in zip(squares, BLOBS, strict=True):
        square[blob.y - 30 : blob.y + 30, blob.x - 30 : blob.x + 30] = True
    Gallery.from_masks(squares).save(galleries / "blobs.npz")
    bundle = with_small_superpixels(colour_bundle, picture.parent / "small.prm")
    lines = picture.parent / "out.jsonl"
    result = prm_run(
        picture, "--model", bundle, "--retrieval", "eq6", "--proposals", galleries, "--save-json", lines
    )
    assert result.code == 0, result.err
    instances = json.loads(lines.read_text())["instances"]
    assert len(instances) == 3
    for instance in instances:
        best = max(overlap(decode_mask(instance["mask"]), square) for square in squares)
        assert best > 0.85  # as near as superpixels come to a square


def with_small_superpixels(bundle: Path, path: Path) -> Path:
    """The same bundle with superpixels of a few pixels."""
    opened = Bundle.open(bundle)
    settings = replace(opened.manifest.proposals, superpixel_scale=1.0, superpixel_min_size=4)
    with_manifest(opened, opened.manifest.model_copy(update={"proposals": settings}), path)
    return path


def test_frames_of_a_video_have_galleries_by_their_number(
    prm_run: PrmRun, colour_bundle: Path, tmp_path: Path, galleries: Path
) -> None:
    clip = write_lossless_video(tmp_path / "clip.mkv", moving_blobs(2), Fraction(25))
    call = (clip, "--model", colour_bundle, "--retrieval", "eq6", "--proposals", galleries)
    Gallery.from_masks(draw_blobs()[1]).save(galleries / "clip_000000.npz")
    result = prm_run(*call)
    assert result.code == 1
    assert "clip_000001.npz: no such gallery, nor clip_000001.json" in result.err
    Gallery.from_masks(draw_blobs()[1]).save(galleries / "clip_000001.npz")
    assert prm_run(*call).code == 0


def test_masks_of_an_onnx_model(prm_run: PrmRun, colour_bundle: Path, picture: Path) -> None:
    """The model's input is square: the picture, scaled to 448 x 320, lies in its upper part."""
    truth = draw_blobs()[1]
    masks = np.zeros((3, 448, 448), np.float32)
    for mask, blob in zip(masks, truth, strict=True):
        mask[:320] = cv2.resize(blob.astype(np.float32), (448, 320))
    model = write_constant_model(picture.parent / "masks.onnx", {"masks": masks}, (1, 3, 448, 448))
    lines = picture.parent / "out.jsonl"
    result = prm_run(
        picture, "--model", colour_bundle, "--retrieval", "eq6", "--proposals", model, "--save-json", lines
    )
    assert result.code == 0, result.err
    found = [decode_mask(instance["mask"]) for instance in json.loads(lines.read_text())["instances"]]
    assert len(found) == 3
    for blob in truth:
        assert max(overlap(mask, blob) for mask in found) > 0.93


@pytest.mark.parametrize("name", ["default", "no-network"])
def test_generators_by_name(prm_run: PrmRun, colour_bundle: Path, picture: Path, name: str) -> None:
    result = prm_run(picture, "--model", colour_bundle, "--retrieval", "eq6", "--proposals", name)
    assert result.code == 0, result.err
    assert result.out.startswith(f"{picture}: 3 instances")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mcg", "--retrieval", "eq6"], "no proposals 'mcg'; choose default, no-network, live, offline, "),
        (["none.onnx", "--retrieval", "eq6"], "none.onnx: no such file; expected an ONNX model"),
        (["bad.onnx", "--retrieval", "eq6"], "bad.onnx: ONNX Runtime"),
        (["logits.onnx", "--retrieval", "eq6"], 'logits.onnx: expected "masks" [N, h, w]'),
        (["empty", "--retrieval", "eq6"], "empty: no galleries in this folder"),
        (["others", "--retrieval", "eq6"], "blobs.npz: no such gallery, nor blobs.json; make one"),
        (["damaged", "--retrieval", "eq6"], "blobs.npz: expected an .npz file"),
        (
            ["live", "--retrieval", "eq6"],
            "the forward graph lacks block10, block14, block15; export it again",
        ),
    ],
)
def test_mistakes_end_in_one_clear_line(
    prm_run: PrmRun,
    monkeypatch: pytest.MonkeyPatch,
    colour_bundle: Path,
    picture: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(picture.parent)
    Path("bad.onnx").write_bytes(b"no model")
    write_constant_model(Path("logits.onnx"), {"logits": np.zeros((1, 9), np.float32)})
    for folder in ("empty", "others", "damaged"):
        Path(folder).mkdir()
    Path("others/cat.json").write_text("[]")
    Path("damaged/blobs.npz").write_bytes(b"no arrays")
    result = prm_run(picture, "--model", colour_bundle, "--proposals", *arguments)
    assert result.code == 1
    assert message in result.err
    assert sum("error:" in line for line in result.err.splitlines()) == 1
    assert result.err.strip().splitlines()[-1].startswith("error:")


@pytest.mark.skipif(hasattr(cv2, "ximgproc"), reason="OpenCV's contrib modules are installed")
def test_selective_search_without_contrib_says_what_to_install(
    prm_run: PrmRun, colour_bundle: Path, picture: Path
) -> None:
    result = prm_run(
        picture, "--model", colour_bundle, "--retrieval", "eq6", "--proposals", "selective-search"
    )
    assert result.code == 1
    assert "pip install opencv-contrib-python" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_source_of_ones_own(colour_bundle: Path, galleries: Path) -> None:
    image, masks = draw_blobs()
    segmenter = Segmenter.open(colour_bundle, retrieval="eq6", proposals=GalleryFolder(galleries))
    found = segmenter(image, "blobs")
    assert [max(overlap(mask, truth) > 0.93 for truth in masks) for mask in found.masks] == [True] * 3
    assert len(segmenter.evidence(image, "blobs").gallery) == 3
    with pytest.raises(PrmError, match="found by their picture's name, but this picture has none"):
        segmenter(image)


def test_live_proposals_of_the_shipped_model() -> None:
    """Its bundle asks for them anyway: by name they are the same."""
    assert Bundle.open(shipped_bundle()).manifest.proposals == LIVE
    image, _ = draw_blobs()
    own, named = (
        Segmenter.open(retrieval="eq6", proposals=name).evidence(image).gallery
        for name in ("default", "live")
    )
    np.testing.assert_array_equal(own.members, named.members)
