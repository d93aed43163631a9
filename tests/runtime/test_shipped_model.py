"""The model that comes with the package, on photographs that scikit-image ships."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut, chelsea

from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.open()


def test_it_is_small_and_says_what_it_was_measured_to_do() -> None:
    manifest = Bundle.open(shipped_bundle()).manifest
    assert shipped_bundle().stat().st_size <= 20e6
    assert len(manifest.classes) == 20
    assert manifest.provenance.metrics["walk mAP50"] > 0
    assert "derived instance masks" in (manifest.provenance.metrics_protocol or "")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("picture", "label"), [(astronaut(), "person"), (chelsea(), "cat")])
def test_it_finds_the_one_object_of_a_photograph(
    picture: NDArray[np.uint8], label: str, backend: str
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    found = Segmenter.open(backend=backend, min_score=0.2)(picture)
    assert found.labels == [label]
    x, y = found.peaks[0].astype(int)
    assert found.masks[0, y, x]
    assert 0.15 < found.masks[0].mean() < 0.95


def test_equal_frames_give_equal_results(segmenter: Segmenter) -> None:
    first = segmenter(astronaut())
    segmenter(chelsea())
    again = segmenter(astronaut())
    np.testing.assert_array_equal(first.masks, again.masks)
    np.testing.assert_array_equal(first.scores, again.scores)
