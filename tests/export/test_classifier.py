from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from tests.fixtures.networks import Network

from prm_export.classifier import export_classifier
from prm_runtime.backends import create_backend


def test_the_classifier_has_the_names_that_the_passes_expect(tiny: Network) -> None:
    graph = tiny.classifier.graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["class_maps", *tiny.model.taps]
    assert len(tiny.model.taps) == 3
    onnx.checker.check_model(tiny.classifier, full_check=True)


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
def test_one_classifier_serves_all_sizes(tiny: Network, size: tuple[int, int]) -> None:
    image = tiny.image(*size)
    graph = create_backend("onnxruntime", 1).compile(tiny.classifier.SerializeToString())
    with torch.inference_mode():
        M, features = tiny.model.forward_with_features(torch.from_numpy(image))
    found = graph.run({"image": image})
    for name, expected in {"class_maps": M, **features}.items():
        np.testing.assert_allclose(found[name], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_the_exporter_keeps_its_progress_to_itself(
    tiny: Network, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    export_classifier(tiny.model)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
