"""The mask head, from torch through the graphs to the evidence of a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.fixtures import tiny_backbone
from tests.fixtures.command_line import Command
from tests.fixtures.networks import CLASSES, INPUT_SIZE, Network, random_network, write_checkpoint
from tests.fixtures.small_nets import Compiled

from prm_export.pipeline import build_graphs, graph_spec
from prm_proposals.pooling import pool_features
from prm_runtime.backends import create_backend
from prm_runtime.segmenter import Segmenter
from prm_train.mask_head import create_mask_head


@pytest.fixture(scope="module")
def masked() -> Network:
    """A tiny network with a mask head."""
    torch.manual_seed(0)
    model = tiny_backbone.tiny_model(len(CLASSES))
    model.mask_head = create_mask_head(model.backbone, len(CLASSES))
    return random_network(model, taps=8)


@torch.inference_mode()
def torch_logits(network: Network, image: np.ndarray) -> np.ndarray:
    return network.model.forward_with_features(torch.from_numpy(image))[1]["mask_logits"].numpy()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
def test_the_classifier_gives_the_logits_that_torch_gives(masked: Network, size: tuple[int, int]) -> None:
    assert [value.name for value in masked.classifier.graph.output][-1] == "mask_logits"
    image = masked.image(*size)
    graph = create_backend("onnxruntime", 1).compile(masked.classifier.SerializeToString())
    expected = torch_logits(masked, image)
    np.testing.assert_allclose(graph.run({"image": image})["mask_logits"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (64, 160)])
def test_the_forward_graph_does_too_at_every_size(masked: Network, size: tuple[int, int]) -> None:
    graphs = build_graphs(masked.classifier, masked.options(half_weights=False))
    onnx.checker.check_model(graphs.forward, full_check=True)
    spec = {output.name: output for output in graph_spec("forward.onnx", graphs.forward).outputs}
    assert spec["mask_logits"].shape == (1, 1 + len(CLASSES), "height/8", "width/8")
    assert spec["mask_logits"].dtype == "float32"
    image = masked.image(*size)
    found = Compiled(graphs).forward(image)["mask_logits"]
    assert found.shape == (1, 1 + len(CLASSES), size[0] // 8, size[1] // 8)
    np.testing.assert_allclose(found, torch_logits(masked, image), rtol=1e-4, atol=1e-4)


def test_class_maps_and_response_maps_are_those_of_the_network_without_it(masked: Network) -> None:
    head, masked.model.mask_head = masked.model.mask_head, None
    try:
        plain = random_network(masked.model)
    finally:
        masked.model.mask_head = head
    image = masked.image(64, 96)
    (peaks, prms), (plain_peaks, plain_prms) = (
        Compiled(build_graphs(network.classifier, masked.options())).maps(image)
        for network in (masked, plain)
    )
    np.testing.assert_array_equal(peaks, plain_peaks)
    np.testing.assert_allclose(prms, plain_prms, rtol=1e-4, atol=1e-7)


def test_a_bundle_gives_the_logits_of_every_superpixel(
    masked: Network, tmp_path: Path, prm_export: Command
) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", masked.model, tiny_backbone.NAME)
    result = prm_export(checkpoint, "-o", tmp_path / "masked.prm")
    assert result.code == 0, result.err
    segmenter = Segmenter.open(tmp_path / "masked.prm", threads=1)
    frame = np.random.default_rng(0).integers(0, 256, (96, INPUT_SIZE, 3), dtype=np.uint8)
    evidence = segmenter.evidence(frame)
    assert evidence.mask_logits is not None
    assert evidence.mask_logits.shape == (evidence.graph.count, 1 + len(CLASSES))
    mean, std = (np.float32(values) for values in (masked.model.backbone.mean, masked.model.backbone.std))
    image = ((frame - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)  # as large as the input
    dense = torch_logits(masked, image)[0]
    expected = pool_features(dense, evidence.graph.labels, evidence.graph.count)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(evidence.mask_logits, expected, atol=5e-3 * scale)  # weights in half precision
