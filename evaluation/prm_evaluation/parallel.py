"""Pictures in chunks over worker processes, with results that do not depend on how many there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 8
"""Pictures that are counted together. Sums of floats depend on it, and so it is the same everywhere."""

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def map_chunks(
    open_work: Callable[[], Callable[[Sequence[Item]], Result]],
    items: Sequence[Item],
    processes: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Result]:
    """Do some work on chunks of items, ``CHUNK`` of them at a time.

    Args:
        open_work: Called once in each process; what it returns is called with every chunk. With more than
            one process both it and the items have to be picklable.
        items: What to work on.
        processes: How many; with one the work is done in this process.
        advance: Called after each chunk with its length.

    Yields:
        The result of each chunk, in the order of the items.
    """
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    if processes == 1 or len(chunks) <= 1:
        work = open_work()
        for chunk in chunks:
            result = work(chunk)
            advance(len(chunk))
            yield result
        return
    count = min(processes, len(chunks))
    with one_blas_thread(), ProcessPoolExecutor(count, get_context("spawn"), _keep, (open_work,)) as pool:
        for chunk, result in zip(chunks, pool.map(_work, chunks), strict=True):
            advance(len(chunk))
            yield result


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Processes that are started inside compute on one core each."""
    before = {name: os.environ.get(name) for name in BLAS_THREADS}
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_opening: Callable[[], Any] | None = None
_opened: Callable[[Any], Any] | None = None


def _keep(open_work: Callable[[], Any]) -> None:
    # not opened here: what an initializer raises is lost, and users should read it
    global _opening
    _opening = open_work


def _work(chunk: Sequence[Any]) -> Any:
    global _opened
    if _opened is None:
        assert _opening is not None  # noqa: S101 - every process has been through _keep
        _opened = _opening()
    return _opened(chunk)
