"""Feature taps, against numpy's principal components."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.fixtures.tiny_backbone import CHANNELS, tiny_model

from prm_train.pca import fit_taps, projection


@pytest.fixture
def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, 64, 96, generator=generator) for n in (2, 3, 1)]


def principal_components(vectors: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Coordinates of vectors [N, C] by numpy's PCA, divided by the root of their total variance."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    total_variance = centred.var(axis=0).sum()
    return centred @ axes[:dimensions].T / np.sqrt(total_variance)


@pytest.mark.parametrize("dimensions", [1, 4, 8])
@torch.no_grad()
def test_taps_are_numpys_principal_components_over_the_root_of_the_total_variance(
    batches: list[torch.Tensor], dimensions: int
) -> None:
    model = tiny_model()
    fit_taps(model, batches, dimensions)
    assert list(model.taps) == ["block2", "block3", "block4"]
    for block in model.backbone.taps:
        name = f"block{block}"
        outputs = [model.backbone.forward_with_blocks(batch, [block])[1][block] for batch in batches]
        vectors = torch.cat([output.movedim(1, -1).flatten(0, -2) for output in outputs])
        expected = principal_components(vectors.double().numpy(), dimensions)
        found = torch.cat([model.taps[name](output).movedim(1, -1).flatten(0, -2) for output in outputs])
        # an eigenvector and its negative are the same component
        signs = np.sign((found.numpy() * expected).sum(axis=0))
        np.testing.assert_allclose(found.numpy(), signs * expected, atol=2e-5)


@torch.no_grad()
def test_all_components_together_have_variance_one(batches: list[torch.Tensor]) -> None:
    model = tiny_model()
    fit_taps(model, batches, CHANNELS[2])
    projected = [model.forward_with_features(batch)[1]["block2"] for batch in batches]
    coordinates = torch.cat([features.movedim(1, -1).flatten(0, -2) for features in projected])
    assert coordinates.var(0, correction=0).sum().item() == pytest.approx(1, abs=1e-4)
    assert coordinates.mean(0).abs().max().item() < 1e-5
    assert (coordinates.var(0).diff() < 0).all()  # the first component is the largest


def test_a_block_of_fewer_channels_keeps_all_of_its_own(batches: list[torch.Tensor]) -> None:
    model = tiny_model()
    fit_taps(model, batches, 14)
    assert [len(project.weight) for project in model.taps.values()] == [12, 12, 14]


def test_fitting_leaves_the_model_in_eval_mode_and_its_taps_fixed(batches: list[torch.Tensor]) -> None:
    model = tiny_model().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fit_taps(model, batches, 4)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.taps.parameters())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())


def test_the_largest_entry_of_an_axis_is_positive() -> None:
    covariance = torch.diag(torch.tensor([1.0, 9.0, 4.0], dtype=torch.float64))
    project = projection(torch.tensor([1.0, 2.0, 3.0]).double(), covariance, 2)
    root = 14**0.5
    expected = torch.tensor([[0, 1 / root, 0], [0, 0, 1 / root]])
    torch.testing.assert_close(project.weight[..., 0, 0], expected)
    torch.testing.assert_close(project.bias, torch.tensor([-2 / root, -3 / root]))
