"""The numba kernels of a frame, loaded while something else waits for the engine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from threading import Thread

import numpy as np

from prm_proposals.generator import ProposalGenerator
from prm_proposals.peaks import live_peaks
from prm_proposals.retrieval import Evidence, create_retrieval
from prm_proposals.settings import RetrievalSettings
from prm_runtime.manifest import Manifest
from prm_runtime.masks import masks_and_boxes
from prm_runtime.preprocess import preprocess

_FRAME = (50, 70)  # height and width
_LONG_SIDE = 40  # of the superpixels' grid: smaller than the frame by no whole number
_CELLS = (4, 4)  # of every map
_PLACES = np.array([[0, 0], [3, 3], [2, 1]])  # of the peaks: their PRMs do not overlap


def load_kernels(manifest: Manifest, settings: RetrievalSettings) -> None:
    """Load the kernels that every frame needs, in a thread that ends by itself.

    Compiling the graphs is the engine's work and leaves Python free. A frame that comes meanwhile waits for
    what it needs.

    Args:
        manifest: What the frames will be run with.
        settings: How instances will be retrieved.
    """
    Thread(target=_try_to_rehearse, args=(manifest, settings), name="load-kernels").start()


def _try_to_rehearse(manifest: Manifest, settings: RetrievalSettings) -> None:
    with suppress(Exception):  # what is wrong with the settings is said with the first frame
        rehearse(manifest, settings)


def rehearse(manifest: Manifest, settings: RetrievalSettings) -> None:
    """Do the host's part of a small made-up frame: its arrays have the types that those of real ones have."""
    noise = np.random.default_rng(0)
    frame = noise.integers(0, 256, (*_FRAME, 3), np.uint8)
    # first: the network can run while the rest is loaded
    shrinking = {"size": manifest.preprocessing.multiple, "profile": None}
    for preprocessing in (manifest.preprocessing.model_copy(update=shrinking), manifest.preprocessing):
        preprocess(frame, preprocessing)
    generator = ProposalGenerator(replace(manifest.proposals, long_side=_LONG_SIDE))
    graph = generator.regions(frame)
    classes = len(manifest.classes)
    features = {name: np.zeros((1, *_CELLS), np.float32) for name in generator.feature_names}
    mask_logits = graph.pooling.means(noise.random((1 + classes, *_CELLS), np.float32))
    prms = np.zeros((len(_PLACES), *_CELLS), np.float32)
    prms[np.arange(len(_PLACES)), *_PLACES.T] = 1
    class_maps, class_scores = noise.random((classes, *_CELLS), np.float32), np.zeros(classes, np.float32)
    peaks = np.insert(_PLACES, 0, 0, axis=1)  # of one class
    peak_scores = np.ones(len(_PLACES), np.float32)
    live_peaks(peaks, peak_scores, class_maps, class_scores, settings)
    evidence = Evidence(
        class_maps=class_maps,
        class_scores=class_scores,
        peaks=peaks,
        peak_scores=peak_scores,
        prms=prms,
        graph=graph,
        gallery=generator.propose(graph, features),
        mask_logits=mask_logits if manifest.has_mask_head else None,
    )
    found = create_retrieval(settings)(evidence)
    masks_and_boxes(found.members, graph.pooling, _FRAME)
