from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from benchmarks.limits import Machine, bare_classifier, graph_work
from benchmarks.published import PublishedInference
from benchmarks.torch_graph import TorchGraph
from numpy.typing import NDArray
from onnx import helper
from tests.oracles import published_code

from prm_proposals.settings import Eq6Settings
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import PrmError
from prm_runtime.preprocess import preprocess


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(shipped_bundle())


@pytest.fixture(scope="module")
def image(bundle: Bundle) -> NDArray[np.float32]:
    small = cv2.resize(skimage.data.chelsea(), (160, 96))
    settings = bundle.manifest.preprocessing.model_copy(update={"size": 160})
    return preprocess(np.asarray(small, np.uint8), settings)


def test_the_network_in_torch_is_the_bundles(bundle: Bundle, image: NDArray[np.float32]) -> None:
    classifier = bare_classifier(bundle)
    session = onnxruntime.InferenceSession(classifier.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": image})
    with torch.no_grad():
        found = TorchGraph(classifier)(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_responses_are_those_of_the_published_formula(bundle: Bundle, image: NDArray[np.float32]) -> None:
    classifier = bare_classifier(bundle)
    peaks = np.int64([[7, 1, 2], [14, 2, 0]])
    whole = np.ones((1, 48, 80), bool)
    whole[0, :24] = False
    published = PublishedInference(classifier, Eq6Settings())
    expected = published_code.response_maps(TorchGraph(classifier), image, peaks.tolist())
    for peak, reference in zip(peaks, expected, strict=True):
        ((_, class_id, mask, prm),), seconds = published(image, peak[None], whole)
        assert class_id == peak[0]
        assert np.corrcoef(prm.ravel(), reference.ravel())[0, 1] > 0.999
        assert mask.shape == image.shape[2:]
        assert mask[60:].all()
        assert not mask[:40].any()
        assert set(seconds) == {"forward", "back-propagation", "retrieval", "total"}
    assert len(published(image, peaks, whole)[0]) == 1  # suppression asks for no class


def test_an_unknown_operator_is_named() -> None:
    value = helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Softplus", ["x"], ["y"])], "g", [value], [value])
    with pytest.raises(PrmError, match="does not know Softplus"):
        TorchGraph(helper.make_model(graph))


def test_work_grows_with_peaks_and_the_slower_of_the_machines_rates(bundle: Bundle) -> None:
    fast = Machine({"product": 1e9}, {"in cache": 10.0})
    slow = Machine({"product": 100.0}, {"in cache": 1e9})
    by_bytes, by_flops = (graph_work(bundle, (272, 640), 8, machine) for machine in (fast, slow))
    bare = by_bytes["bare classifier"]
    assert 6e8 < bare.macs < 7e8  # 0.39 GMACs at 224 px are known of EfficientNet-Lite0: here 448 x 192
    assert bare.seconds == pytest.approx(bare.bytes / 10e9, rel=0.01)
    assert by_flops["bare classifier"].seconds == pytest.approx(2 * bare.macs / 100e9, rel=0.01)
    twice = graph_work(bundle, (272, 640), 16, fast)
    assert twice["reverse graph, 16 peaks"].macs > by_bytes["reverse graph, 8 peaks"].macs
