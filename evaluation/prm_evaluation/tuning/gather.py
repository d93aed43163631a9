"""Running a bundle once over all pictures, so that the search does not have to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from prm_evaluation.datasets import Sample, VocDataset
from prm_evaluation.tuning.record import Record, cache_key
from prm_evaluation.tuning.truth import RegionTruth
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

PRESENCE_SLACK = 4.0
"""Logits below the bundle's ``presence`` that a candidate may go."""


def capture_settings(bundle: Bundle) -> RetrievalSettings:
    """Settings under which every peak lives that a candidate setting may want."""
    settings = bundle.manifest.retrieval
    return replace(
        settings,
        presence=settings.presence - PRESENCE_SLACK,
        peak_floor=min(settings.peak_floor, 0.0),
        peak_ratio=min(settings.peak_ratio, 0.1),
        max_peaks=max(settings.max_peaks, bundle.manifest.peaks.max_peaks),
        class_presence={},
    )


def gather(
    bundle: Bundle,
    dataset: VocDataset,
    samples: Sequence[Sample],
    cache: Path,
    backend: str,
    advance: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write the record of each picture unless it is there already.

    Args:
        bundle: The model.
        dataset: Ground truth of ``samples``, with the classes of the bundle.
        samples: The pictures.
        cache: Folder; each bundle, data set and backend has a folder of its own in it.
        backend: Inference engine.
        advance: Called after each picture.

    Returns:
        The files, in the order of ``samples``; :meth:`Record.load` reads them.
    """
    capture = capture_settings(bundle)
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
