"""What several benchmarks time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from benchmarks.timing import TOTAL, Run
from numpy.typing import NDArray

from prm_proposals.picture import ProposalSource
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import BACKENDS, create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter
from prm_runtime.timing import STAGES


def backends_that_run() -> list[str]:
    """Engines that are more than installed: TensorRT-RTX imports where there is no GPU."""
    found = []
    for name, info in BACKENDS.items():
        if info.missing():
            continue
        try:
            create_backend(name)
        except PrmError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def segmenter_of(
    bundle: Bundle,
    backend: str,
    threads: int,
    settings: RetrievalSettings | None = None,
    proposals: ProposalSource | None = None,
    min_score: float = 0.0,
) -> Segmenter:
    """A segmenter as ``Segmenter.open`` makes it for so many threads."""
    engine = create_backend(backend, threads)
    return Segmenter(
        bundle, engine, settings, proposals=proposals, min_score=min_score, overlap=engine.threads != 1
    )


def segmenting(segmenter: Segmenter, pictures: Sequence[NDArray[np.uint8]], peaks: int | None = None) -> Run:
    """The whole frame and its stages.

    Args:
        segmenter: What is timed.
        pictures: RGB, uint8 [H, W, 3] each.
        peaks: How many peaks each frame is said to have; checked on the first and the last.

    Raises:
        PrmError: If one has another number.
    """
    for picture in (pictures[0], pictures[-1]) if peaks else ():
        if (found := len(segmenter.evidence(picture).peaks)) != peaks:
            raise PrmError(f"a frame has {found} peaks where {peaks} were to be timed")

    def run(number: int) -> dict[str, float]:
        before = {stage: segmenter.times.seconds(stage) for stage in STAGES}
        start = perf_counter()
        segmenter(pictures[number % len(pictures)])
        seconds = {TOTAL: perf_counter() - start}
        spent = {stage: segmenter.times.seconds(stage) - before[stage] for stage in STAGES}
        return seconds | {stage: value for stage, value in spent.items() if value > 0}

    return run
