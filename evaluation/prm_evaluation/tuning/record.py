"""What tuning keeps of a picture: the evidence for its instances and its ground truth, in one small file."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.tuning.truth import RegionTruth
from prm_proposals.evidence import Evidence
from prm_proposals.gallery import Gallery
from prm_proposals.peaks import live_peaks
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import RetrievalSettings
from prm_runtime.bundle import Bundle

FORMAT = 2
GRAPH_FIELDS = ("labels", "sizes", "edges", "border", "boundary", "lab")
# what decides which peaks live (see prm_proposals.peaks); retrieval comes after the record
LIVE_PEAK_FIELDS = (
    "presence_from",
    "presence",
    "peak_floor",
    "peak_ratio",
    "max_peaks",
    "class_offsets",
    "class_scales",
)
MAP_FIELDS = ("class_maps", "class_scores", "peaks", "peak_scores")


@dataclass(frozen=True)
class Record:
    """One picture.

    Attributes:
        evidence: With every peak that any candidate setting may want; PRMs to half precision.
        truth: Ground truth on the same superpixels.
    """

    evidence: Evidence
    truth: RegionTruth

    def evidence_for(self, settings: RetrievalSettings) -> Evidence:
        """The evidence that a segmenter with these settings would have gathered."""
        all_peaks = self.evidence
        live = live_peaks(
            all_peaks.peaks,
            all_peaks.peak_scores,
            all_peaks.class_maps,
            all_peaks.class_scores,
            settings,
        )
        return replace(
            all_peaks,
            peaks=all_peaks.peaks[live],
            peak_scores=all_peaks.peak_scores[live],
            prms=all_peaks.prms[live],
        )

    def save(self, path: Path) -> None:
        """Write a compressed ``.npz``, whole or not at all."""
        evidence, truth = self.evidence, self.truth
        arrays: dict[str, NDArray[Any]] = {name: getattr(evidence, name) for name in MAP_FIELDS}
        arrays |= {name: getattr(evidence.graph, name) for name in GRAPH_FIELDS}
        # A PRM sums to 1: its values would be subnormal in half precision unless scaled to a mean of 1.
        arrays["prms"] = (evidence.prms * _pixels(evidence.prms)).astype(np.float16)
        if evidence.mask_logits is not None:
            arrays["mask_logits"] = evidence.mask_logits
        arrays["members"] = np.packbits(evidence.gallery.members, axis=1)
        arrays |= {f"truth_{name}": value for name, value in vars(truth).items()}
        descriptor, temporary = tempfile.mkstemp(suffix=".npz", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        graph = RegionGraph(**{name: arrays[name] for name in GRAPH_FIELDS})
        members = np.unpackbits(arrays["members"], axis=1, count=graph.count).astype(bool)
        prms = arrays["prms"].astype(np.float32)
        evidence = Evidence(
            **{name: arrays[name] for name in MAP_FIELDS},
            prms=prms / np.float32(_pixels(prms)),
            graph=graph,
            gallery=Gallery(graph.labels, members),
            mask_logits=arrays.get("mask_logits"),
        )
        truth = {
            name.removeprefix("truth_"): value for name, value in arrays.items() if name.startswith("truth_")
        }
        return cls(evidence, RegionTruth(**truth))


def cache_key(bundle: Bundle, capture: RetrievalSettings, backend: str, data_root: Path) -> str:
    """Name of the folder of records: equal keys mean equal records, for one version of the code."""
    manifest = bundle.manifest
    parts = {
        "format": FORMAT,
        "graphs": manifest.sha256,
        "preprocessing": manifest.preprocessing.model_dump(),
        "peaks": manifest.peaks.model_dump(),
        "proposals": asdict(manifest.proposals),
        "capture": {name: getattr(capture, name) for name in LIVE_PEAK_FIELDS},
        "backend": backend,
        "data": str(data_root.resolve()),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _pixels(prms: NDArray[np.float32]) -> int:
    return int(prms.shape[1] * prms.shape[2])
