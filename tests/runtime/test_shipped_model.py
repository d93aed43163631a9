"""The model that comes with the package, on photographs that scikit-image ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut, chelsea

from prm_proposals.settings import SpotSettings
from prm_runtime.bundle import Bundle, BundleError, shipped_bundle
from prm_runtime.segmenter import Segmenter

MODELS = ("voc20-lite0", "voc20-lite2")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.open()


@pytest.mark.parametrize("name", MODELS)
def test_it_is_small_and_says_what_it_was_measured_to_do(name: str) -> None:
    bundle = Bundle.open(name)
    manifest = bundle.manifest
    assert bundle.path == shipped_bundle(name)
    assert manifest.name == name
    assert bundle.path.stat().st_size <= 20e6
    assert len(manifest.classes) == 20
    assert manifest.provenance.metrics["walk mAP50"] > 0
    assert "derived instance masks" in (manifest.provenance.metrics_protocol or "")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("picture", "label"), [(astronaut(), "person"), (chelsea(), "cat")])
def test_it_finds_the_one_object_of_a_photograph(
    picture: NDArray[np.uint8], label: str, backend: str, name: str
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    found = Segmenter.open(name, backend, min_score=0.2)(picture)
    assert found.labels == [label]
    x, y = found.peaks[0].astype(int)
    assert found.masks[0, y, x]
    assert 0.15 < found.masks[0].mean() < 0.95


def test_the_larger_one_is_better_by_what_both_say() -> None:
    small, large = (Bundle.open(name).manifest.provenance.metrics for name in MODELS)
    assert all(
        large[f"walk {name}"] > small[f"walk {name}"] for name in ("mAP25", "mAP50", "mAP75", "ABO", "mIoU")
    )


@pytest.mark.parametrize("name", MODELS)
def test_each_has_proposals_of_its_own_features_also_offline(name: str) -> None:
    with Segmenter.open(name, proposals="offline") as offline, Segmenter.open(name, proposals="live") as live:
        assert len(offline.evidence(astronaut()).gallery) > len(live.evidence(astronaut()).gallery)


def test_a_file_counts_before_a_shipped_bundle_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Bundle.open("voc20-lite0").path == shipped_bundle()
    Path("voc20-lite0").write_bytes(b"mine")
    with pytest.raises(BundleError, match="voc20-lite0: "):
        Bundle.open("voc20-lite0")
    with pytest.raises(BundleError, match=r"no such bundle; .* or one of voc20-lite0, voc20-lite2"):
        Bundle.open("voc20-lite1")


def test_equal_frames_give_equal_results(segmenter: Segmenter) -> None:
    first = segmenter(astronaut())
    segmenter(chelsea())
    again = segmenter(astronaut())
    np.testing.assert_array_equal(first.masks, again.masks)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_spots_of_its_mask_head_lie_on_what_they_find_and_have_no_prm(segmenter: Segmenter) -> None:
    settings = segmenter.settings
    without = replace(settings, spots=SpotSettings())
    spotted = replace(
        settings, spots=SpotSettings(levels=(0.5, 0.95)), refine=replace(settings.refine, least_score=None)
    )
    small = np.zeros((480, 640, 3), np.uint8) + np.uint8(120)
    small[200:300, 260:360] = cv2.resize(astronaut(), (100, 100), interpolation=cv2.INTER_AREA)
    found = Segmenter.open(retrieval=spotted)(small)
    assert len(found) > len(Segmenter.open(retrieval=without)(small))
    assert found.prms is not None
    of_spots = found.prms.sum(axis=(1, 2)) == 0
    assert of_spots.any()
    height, width = found.masks.shape[1:]
    assert ((found.peaks >= 0) & (found.peaks <= (width, height))).all()
    inside = [mask[int(y), int(x)] for mask, (x, y) in zip(found.masks, found.peaks, strict=True)]
    assert np.mean(np.array(inside)[of_spots]) > 0.5  # a proposal need not hold the middle of the superpixel
