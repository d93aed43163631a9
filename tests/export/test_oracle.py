"""The oracle that exports verify themselves against, held to loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.fixtures.small_nets import (
    IMAGE_MINIMUM,
    SmallNet,
    assert_maps_agree,
    loop_maps,
    random_image,
    residual_net,
)

from prm_export.errors import ExportError
from prm_export.oracle import Oracle
from prm_export.oracle_peaks import peak_table

TOLERANCE = {torch.float32: 1e-5, torch.float64: 2e-6}  # the loops run on activations of float32


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("stop", ["image", "clip_1", "maxpool_6"])
@pytest.mark.parametrize("seed", range(2))
def test_backward_passes_are_eq_4_and_5(dtype: torch.dtype, stop: str, seed: int) -> None:
    classifier, image = residual_net(seed), random_image(seed)
    oracle = Oracle(classifier, IMAGE_MINIMUM, dtype)
    values = oracle.run(image)
    peaks = peak_table(values["class_maps"][0].detach().numpy(), 3, 3)
    found = np.stack([oracle.response_map(values, tuple(peak.tolist()), stop) for peak in peaks])
    assert_maps_agree(found, loop_maps(classifier, image, peaks, stop), TOLERANCE[dtype])


def test_an_operator_that_the_oracle_cannot_run_is_named() -> None:
    net = SmallNet()
    classifier = net.classifier(net.node("Erf", [net.conv("image")], 4))
    with pytest.raises(ExportError, match="the oracle cannot run Erf"):
        Oracle(classifier, IMAGE_MINIMUM)


def test_a_peak_without_evidence_has_an_empty_map() -> None:
    net = SmallNet()
    nothing = net.clip(net.conv("image"), 0.0, 0.0)
    classifier = net.classifier(net.relu(net.conv(nothing)))
    oracle = Oracle(classifier, IMAGE_MINIMUM)
    assert not oracle.response_map(oracle.run(random_image()), (0, 1, 1), "image").any()
