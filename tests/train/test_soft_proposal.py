"""Soft proposals: the closed form is what the walk converges to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles import soft_proposal as oracle
from torch.nn import functional as F

from prm_train.soft_proposal import SoftProposal, soft_proposal


@pytest.mark.parametrize(("h", "w"), [(5, 5), (3, 7), (1, 4)])
@pytest.mark.parametrize("epsilon", [0.15, 0.6])
def test_the_walk_ends_in_the_closed_form(h: int, w: int, epsilon: float) -> None:
    U = torch.rand(2, 6, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = soft_proposal(U, epsilon)
    expected = np.stack([oracle.proposal(features, epsilon) for features in U.numpy()])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)
    torch.testing.assert_close(found.sum((-2, -1)), torch.ones(2, dtype=torch.float64))


def test_scores_are_those_of_the_published_order_of_layers() -> None:
    generator = torch.Generator().manual_seed(1)
    U, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, generator=generator)
        for shape in ((2, 6, 4, 5), (3, 6), (3,))
    )
    M = F.conv2d(U, weight[..., None, None], bias)
    found = SoftProposal()(M, U)
    expected = [oracle.scores(features, weight.numpy(), bias.numpy()) for features in U.numpy()]
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=1e-4)


def test_what_stands_out_is_proposed() -> None:
    U = torch.zeros(1, 2, 7, 7)
    U[0, :, 3, 4] = 1
    P = soft_proposal(U)[0]
    assert P.argmax() == 3 * 7 + 4
    assert P[3, 4] == pytest.approx(0.5, abs=1e-4)  # every way leads there and back
    assert P[3, 5] > P[3, 6] > P[0, 0]


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 3, 1, 1)])
def test_where_nothing_stands_out_all_cells_are_alike(shape: tuple[int, ...]) -> None:
    P = soft_proposal(torch.full(shape, 0.7))
    torch.testing.assert_close(P, torch.full_like(P, 1 / P.numel()))


def test_the_gradient_takes_the_proposal_as_given() -> None:
    generator = torch.Generator().manual_seed(2)
    U = torch.randn(1, 4, 3, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    M = U[:, :2] * 3
    SoftProposal()(M, U)[0, 0].backward()
    P = soft_proposal(U.detach())[0]
    assert U.grad is not None
    torch.testing.assert_close(U.grad[0, 0], 3 * P)
    assert not U.grad[0, 1:].any()
