"""Peak stimulation, against Eq. 1-3 cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tests.oracles import stimulation as oracle

from prm_runtime.console import PrmError
from prm_train.stimulation import PeakFilter, PeakStimulation, find_peaks, find_valid_peaks

FILTERS: tuple[PeakFilter, ...] = ("median", "mean", "none")
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
# few values, so that most maps have ties; all of them and their sums are exact in float32
LEVELS = st.sampled_from([-1.5, -1.0, 0.0, 0.25, 1.0, 2.0])
TIED_MAPS = SHAPES.flatmap(lambda shape: arrays(np.float32, (2, *shape), elements=LEVELS))


@settings(max_examples=80, deadline=None)
@given(maps=TIED_MAPS, window=st.sampled_from([1, 3, 5]), peak_filter=st.sampled_from(FILTERS))
def test_peaks_scores_and_gradients_equal_the_equations_cell_by_cell(
    maps: NDArray[np.float32], window: int, peak_filter: PeakFilter
) -> None:
    M = torch.from_numpy(maps)[None].requires_grad_()
    s = PeakStimulation(window, peak_filter)(M)
    grad_s = torch.tensor([[0.7, -1.9]])
    s.backward(grad_s)
    assert M.grad is not None
    marked = find_valid_peaks(M.detach(), window, peak_filter)[0].numpy()
    for c, map_ in enumerate(maps):
        cells = oracle.valid_peaks(map_, window, peak_filter)
        assert [tuple(cell) for cell in np.argwhere(marked[c])] == cells
        assert s[0, c].item() == pytest.approx(oracle.score(map_, window, peak_filter), rel=1e-6)
        expected = oracle.gradient(map_, grad_s[0, c].item(), window, peak_filter)
        np.testing.assert_array_equal(M.grad[0, c].numpy(), expected)


@settings(max_examples=100, deadline=None)
@given(
    shape=SHAPES,
    value=st.floats(-1e6, 1e6, width=32),
    window=st.sampled_from([1, 3, 5]),
    peak_filter=st.sampled_from(FILTERS),
)
def test_a_constant_map_has_its_value_as_score(
    shape: tuple[int, int], value: float, window: int, peak_filter: PeakFilter
) -> None:
    M = torch.full((1, 1, *shape), value)
    peaks = find_valid_peaks(M, window, peak_filter)
    assert peaks.sum() == (M.numel() if window == 1 else 1)
    assert PeakStimulation(window, peak_filter)(M).item() == pytest.approx(value, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(maps=TIED_MAPS, window=st.sampled_from([3, 5]))
def test_no_peak_lies_in_the_window_of_another(maps: NDArray[np.float32], window: int) -> None:
    for peaks in find_peaks(torch.from_numpy(maps)[None], window)[0]:
        cells = peaks.nonzero()
        assert len(cells) > 0
        apart = (cells[:, None] - cells[None]).abs().amax(-1)
        apart.fill_diagonal_(window)
        assert (apart > window // 2).all()


def test_of_tied_maxima_in_a_window_the_first_is_the_peak() -> None:
    M = torch.tensor([[[[0.0, 5, 5, 0, 0, 1], [0, 5, 5, 0, 0, 0], [0, 0, 0, 0, 0, 5]]]])
    assert find_peaks(M)[0, 0].nonzero().tolist() == [[0, 1], [0, 5], [2, 5]]


def test_the_default_is_a_window_of_three_and_the_median_filter() -> None:
    layer = PeakStimulation()
    assert (layer.window, layer.filter) == (3, "median")


def test_filters_drop_peaks_below_the_median_or_the_mean() -> None:
    M = torch.tensor([[[[9.0, 0, 1, 0, 3, 2, 2, 2, 4]]]])  # peaks 9, 1, 3, 2, 4; median 2, mean 2.56
    scores = {peak_filter: PeakStimulation(3, peak_filter)(M).item() for peak_filter in FILTERS}
    assert scores == pytest.approx({"median": 18 / 4, "mean": 16 / 3, "none": 19 / 5})


def test_each_valid_peak_gets_one_nth_of_the_gradient() -> None:
    M = torch.tensor([[[[4.0, 0, 2, 0, 8]], [[0, 1, 6, 1, 0]]]], requires_grad=True)
    s = PeakStimulation()(M)
    s.backward(torch.tensor([[6.0, 5.0]]))
    assert s.tolist() == [[pytest.approx(14 / 3), 6]]
    assert M.grad is not None
    assert M.grad.tolist() == [[[[2, 0, 2, 0, 2]], [[0, 0, 5, 0, 0]]]]


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("peak_filter", FILTERS)
def test_gradcheck(window: int, peak_filter: PeakFilter) -> None:
    # random values stay clear of ties and thresholds, where there is no derivative
    M = torch.randn(1, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(PeakStimulation(window, peak_filter), (M.requires_grad_(),))


@pytest.mark.parametrize("window", [0, 2, 4, -3, 3.0])
def test_a_window_is_an_odd_positive_integer(window: int) -> None:
    with pytest.raises(PrmError, match=f"odd, positive integer, found {window}"):
        PeakStimulation(window)


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(PrmError, match="unknown peak filter 'max': use one of median, mean, none"):
        PeakStimulation(filter="max")
