"""Aggregations of class response maps: known values, limits and refusals."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from prm_runtime.console import PrmError
from prm_train.aggregation import AGGREGATIONS, aggregation_settings, class_scores, create_aggregation
from prm_train.stimulation import PeakStimulation

M = torch.tensor([[[[1.0, 2, 3, 4], [5, 6, 7, 8]], [[0, 0, 0, 0], [0, 0, 0, 8]]]])


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("average", {}, [4.5, 1]),
        ("max", {}, [8, 8]),
        ("maxmin", {"k_plus": 0.25, "k_minus": 0.5, "alpha": 0.5}, [7.5 + 1.25, 4]),
        ("maxmin", {"k_plus": 0.01, "k_minus": 0.01, "alpha": 1}, [9, 8]),  # a share is at least one cell
        ("maxmin", {"k_plus": 1, "k_minus": 1, "alpha": 0}, [4.5, 1]),
        ("maxmin", {}, [7.5 + 0.7 * 1.5, 4]),
        ("peak", {"filter": "none"}, [8, 4]),
    ],
)
def test_known_values(name: str, options: dict[str, float], expected: list[float]) -> None:
    assert create_aggregation(name, **options)(M)[0].tolist() == pytest.approx(expected)


def test_average_is_the_classifier_on_globally_pooled_features() -> None:
    features, weight, bias = torch.randn(2, 6, 3, 4), torch.randn(5, 6), torch.randn(5)
    maps = F.conv2d(features, weight[..., None, None], bias)
    pooled = F.linear(features.mean((2, 3)), weight, bias)
    torch.testing.assert_close(create_aggregation("average")(maps), pooled)


def test_log_sum_exp_goes_from_the_average_to_the_maximum(maps: torch.Tensor) -> None:
    average, largest = create_aggregation("average")(maps), create_aggregation("max")(maps)
    torch.testing.assert_close(create_aggregation("lse", r=1e-5)(maps), average, rtol=0, atol=1e-4)
    torch.testing.assert_close(create_aggregation("lse", r=1e4)(maps), largest, rtol=0, atol=1e-3)
    between = [create_aggregation("lse", r=r)(maps) for r in (0.5, 4.0, 20.0)]
    assert (torch.stack([average, *between, largest]).diff(dim=0) > 0).all()


def test_log_sum_exp_of_large_scores_does_not_overflow() -> None:
    assert create_aggregation("lse", r=10.0)(1000 * M)[0, 0].item() == pytest.approx(8000, abs=1)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_every_aggregation_maps_maps_to_scores_and_has_a_gradient(name: str, maps: torch.Tensor) -> None:
    aggregation = create_aggregation(name)
    U = torch.randn(2, 7, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert class_scores(aggregation, maps, U).shape == (2, 3)
    assert torch.autograd.gradcheck(lambda M: class_scores(aggregation, M, U), (maps.requires_grad_(),))


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_of_a_single_cell_nothing_is_lost(name: str) -> None:
    options = {"alpha": 0.0} if name == "maxmin" else {}
    maps = torch.tensor([[[[3.5]], [[-2.0]]]])
    found = class_scores(create_aggregation(name, **options), maps, torch.ones(1, 5, 1, 1))
    torch.testing.assert_close(found, torch.tensor([[3.5, -2.0]]))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sum", {}, "unknown aggregation 'sum': choose one of peak, average, max, lse, maxmin, spn"),
        ("max", {"r": 2}, r"aggregation 'max' does not take these options \(.*'r'"),
        ("peak", {"name": "lse"}, r"aggregation 'peak' does not take these options \(.*'name'"),
        ("lse", {"r": "high"}, "aggregation 'lse' does not take these options"),
        ("lse", {"r": 0}, "positive, finite sharpness r, found 0"),
        ("lse", {"r": float("inf")}, "positive, finite sharpness r, found inf"),
        ("spn", {"epsilon": 0}, "positive, finite epsilon, found 0"),
        ("maxmin", {"k_plus": 0}, r"shares in \(0, 1\], found k\+ 0 and k- 0.2"),
        ("maxmin", {"k_minus": 1.5}, r"shares in \(0, 1\], found k\+ 0.2 and k- 1.5"),
        ("peak", {"window": 4}, "odd, positive integer, found 4"),
    ],
)
def test_unknown_names_and_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(PrmError, match=message):
        create_aggregation(name, **options)
    with pytest.raises(PrmError, match=message):
        aggregation_settings(name, **options)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_settings_of_every_aggregation_fit_into_json_and_create_it(name: str) -> None:
    settings = json.loads(json.dumps(aggregation_settings(name)))
    assert type(create_aggregation(settings.pop("name"), **settings)) is AGGREGATIONS[name]


def test_settings_name_all_options_and_create_the_same_again() -> None:
    settings = aggregation_settings("peak", window=5)
    assert settings == {"name": "peak", "window": 5, "filter": "median"}
    again = create_aggregation(settings.pop("name"), **settings)
    assert isinstance(again, PeakStimulation)
    assert again.window == 5
    assert aggregation_settings("maxmin", alpha=0.5) == {
        "name": "maxmin", "k_plus": 0.2, "k_minus": 0.2, "alpha": 0.5,
    }  # fmt: skip
