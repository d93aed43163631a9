"""Running a bundle once over all pictures, so that the search does not have to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from prm_evaluation.datasets import GroundTruthDataset, Sample
from prm_evaluation.tuning.record import Record, cache_key
from prm_evaluation.tuning.truth import RegionTruth
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

PRESENCE_SLACK = 3.0
"""Logits of strength around the start's ``presence`` that a candidate may go."""


def capture_settings(start: RetrievalSettings) -> RetrievalSettings:
    """Settings under which every peak lives that a candidate setting may want."""
    return replace(
        start,
        presence=start.presence - PRESENCE_SLACK,
        peak_floor=min(start.peak_floor, 0.0),
        peak_ratio=min(start.peak_ratio, 0.1),
    )


def gather(
    bundle: Bundle,
    start: RetrievalSettings,
    dataset: GroundTruthDataset,
    samples: Sequence[Sample],
    cache: Path,
    backend: str,
    advance: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write the record of each picture unless it is there already.

    Args:
        bundle: The model.
        start: Where the search begins; peaks far below its thresholds are left out.
        dataset: Ground truth of ``samples``, with the classes of the bundle.
        samples: The pictures.
        cache: Folder; each bundle, data set and backend has a folder of its own in it.
        backend: Inference engine.
        advance: Called after each picture.

    Returns:
        The files, in the order of ``samples``; :meth:`Record.load` reads them.
    """
    capture = capture_settings(start)
    folder = cache / cache_key(bundle, capture, backend, dataset.root)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{sample.id}.npz" for sample in samples]
    segmenter = Segmenter(bundle, create_backend(backend), capture)
    for sample, path in zip(samples, paths, strict=True):
        if not path.is_file():
            evidence = segmenter.evidence(read_picture(sample.image_path))
            masks, class_ids = dataset.instance_masks(sample)
            class_mask = dataset.class_mask(sample)
            truth = RegionTruth.count(evidence.graph, masks, class_ids, class_mask, len(dataset.classes))
            Record(evidence, truth).save(path)
        advance()
    return paths
