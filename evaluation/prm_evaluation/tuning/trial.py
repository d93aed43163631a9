"""Measuring candidate settings on recorded pictures, on several cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.metrics import AverageBestOverlap, InstancePrecision, SemanticIoU, mean_over_classes
from prm_evaluation.parallel import one_blas_thread
from prm_evaluation.tuning.record import Record
from prm_proposals.retrieval import create_retrieval
from prm_proposals.settings import RetrievalSettings


@dataclass(frozen=True)
class PictureResult:
    """What a candidate setting found in one picture, reduced to what the metrics need."""

    iou: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    truth_class_ids: NDArray[np.int64]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Figures:
    """Figures on the label grid, in percent."""

    map25: float
    map50: float
    map75: float
    abo: float
    miou: float

    @property
    def objective(self) -> float:
        """What tuning maximises: the mean of all five, so that none is bought with another."""
        return (self.map25 + self.map50 + self.map75 + self.abo + self.miou) / 5


def measure_record(record: Record, settings: RetrievalSettings) -> PictureResult:
    """Retrieve the instances of one picture and compare them with its ground truth."""
    retrieved = create_retrieval(settings)(record.evidence_for(settings))
    return PictureResult(
        record.truth.iou(record.evidence.graph, retrieved),
        retrieved.scores,
        retrieved.class_ids,
        record.truth.class_ids,
        record.truth.confusion(retrieved),
    )


def figures(results: Sequence[PictureResult], num_classes: int) -> Figures:
    """Accumulate the metrics over pictures."""
    precision, overlap = InstancePrecision(num_classes), AverageBestOverlap(num_classes)
    semantic = SemanticIoU(num_classes)
    for result in results:
        precision.update(result.iou, result.scores, result.class_ids, result.truth_class_ids)
        overlap.update(result.iou, result.class_ids, result.truth_class_ids)
        semantic.add(result.confusion)
    columns = [*precision.compute().values(), overlap.compute(), semantic.compute()]
    return Figures(*(100 * mean_over_classes(values) for values in columns))


class Trials:
    """Recorded pictures spread over worker processes, each of which holds its share in memory."""

    def __init__(self, workers: Sequence[ProcessPoolExecutor], num_classes: int) -> None:
        self._workers = workers
        self._num_classes = num_classes

    def results(self, settings: RetrievalSettings) -> list[PictureResult]:
        """Results of all pictures; their order does not depend on timing."""
        futures = [worker.submit(_measure_share, settings) for worker in self._workers]
        return [result for future in futures for result in future.result()]

    def figures(self, settings: RetrievalSettings) -> Figures:
        """Figures over all pictures."""
        return figures(self.results(settings), self._num_classes)


@contextmanager
def open_trials(paths: Sequence[Path], num_classes: int, processes: int) -> Iterator[Trials]:
    """Load recorded pictures into worker processes.

    Args:
        paths: Records (see :func:`prm_evaluation.tuning.gather.gather`).
        num_classes: C.
        processes: How many workers; each computes on one core.
    """
    with ExitStack() as stack, one_blas_thread():
        workers = [
            stack.enter_context(
                ProcessPoolExecutor(1, get_context("spawn"), _load_share, (paths[worker::processes],))
            )
            for worker in range(processes)
        ]
        for worker in workers:  # start the processes while the environment is as they need it
            worker.submit(int)
        yield Trials(workers, num_classes)


_share: list[Record] = []


def _load_share(paths: Sequence[Path]) -> None:
    _share.extend(Record.load(path) for path in paths)


def _measure_share(settings: RetrievalSettings) -> list[PictureResult]:
    return [measure_record(record, settings) for record in _share]
