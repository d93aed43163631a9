"""Chunks over processes."""

from __future__ import annotations

import os
from functools import partial

import pytest

from prm_evaluation.parallel import BLAS_THREADS, CHUNK, map_chunks
from prm_runtime.console import PrmError


class Work:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, items: list[int]) -> tuple[int, list[int]]:
        return os.getpid(), [self.factor * item for item in items]


class Refusing:
    def __init__(self) -> None:
        raise PrmError("backend 'none' is not installed")


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_whatever_the_number_of_processes(processes: int):
    moved: list[int] = []
    items = list(range(2 * CHUNK + 3))
    results = list(map_chunks(partial(Work, 3), items, processes, moved.append))
    assert [value for _, values in results for value in values] == [3 * item for item in items]
    assert moved == [CHUNK, CHUNK, 3]
    assert all((pid == os.getpid()) == (processes == 1) for pid, _ in results)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_cannot_be_opened_says_why(processes: int):
    with pytest.raises(PrmError, match="backend 'none' is not installed"):
        list(map_chunks(Refusing, list(range(CHUNK + 1)), processes))


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(BLAS_THREADS[0], "7")
    monkeypatch.delenv(BLAS_THREADS[1], raising=False)
    list(map_chunks(partial(Work, 1), list(range(CHUNK + 1)), 2))
    assert os.environ[BLAS_THREADS[0]] == "7"
    assert BLAS_THREADS[1] not in os.environ
