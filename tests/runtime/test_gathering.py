"""Proposals beside the network: the same evidence, and no superpixels for nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.fixtures.colour_blobs import BLOBS, draw_blobs

from prm_proposals.gallery import Gallery
from prm_proposals.generator import ProposalGenerator
from prm_proposals.picture import Picture, ProposalError
from prm_proposals.regions import RegionGraph
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.errors import PrmError
from prm_runtime.segmenter import Segmenter

BLANK = np.full((336, 448, 3), 90, np.uint8)


class Watched(ProposalGenerator):
    """A generator that notes in which threads it worked."""

    superpixels: list[str]
    galleries: list[str]
    began: threading.Semaphore

    def regions(self, image: NDArray[np.uint8]) -> RegionGraph:
        self.superpixels.append(threading.current_thread().name)
        self.began.release()
        return super().regions(image)

    def __call__(self, picture: Picture) -> Gallery:
        self.galleries.append(threading.current_thread().name)
        return super().__call__(picture)


def watched(bundle: Path, *, overlap: bool) -> tuple[Segmenter, Watched]:
    opened = Bundle.open(bundle)
    generator = Watched(opened.manifest.proposals)
    generator.superpixels, generator.galleries, generator.began = [], [], threading.Semaphore(0)
    backend = create_backend("onnxruntime", 1)
    return Segmenter(opened, backend, proposals=generator, overlap=overlap), generator


@pytest.mark.parametrize("lean", [False, True])
def test_evidence_is_the_same_beside_the_network(colour_bundle: Path, lean: bool) -> None:
    frames = [draw_blobs()[0], BLANK, draw_blobs(BLOBS[:1])[0], draw_blobs()[0]]
    (alone, _), (beside, generator) = (watched(colour_bundle, overlap=overlap) for overlap in (False, True))
    for _ in range(2):  # the second time superpixels are begun ahead
        found = zip(alone.evidences(frames, lean=lean), beside.evidences(frames, lean=lean), strict=True)
        for expected, evidence in found:
            np.testing.assert_array_equal(evidence.prms, expected.prms)
            np.testing.assert_array_equal(evidence.graph.labels, expected.graph.labels)
            np.testing.assert_array_equal(evidence.gallery.members, expected.gallery.members)
    assert all(name.startswith("proposals") for name in generator.superpixels + generator.galleries)
    assert beside.times.count("proposals") == alone.times.count("proposals")


def test_without_overlap_all_is_done_in_the_callers_thread(colour_bundle: Path) -> None:
    segmenter, generator = watched(colour_bundle, overlap=False)
    segmenter(draw_blobs()[0])
    assert generator.superpixels == generator.galleries == [threading.current_thread().name]


@pytest.mark.parametrize("overlap", [False, True])
def test_what_proposals_cannot_be_made_from_is_said(colour_bundle: Path, overlap: bool) -> None:
    class Refuses(ProposalGenerator):
        def __call__(self, picture: Picture) -> Gallery:
            raise ProposalError("no proposals today")

    bundle = Bundle.open(colour_bundle)
    source = Refuses(bundle.manifest.proposals)
    segmenter = Segmenter(bundle, create_backend("onnxruntime", 1), proposals=source, overlap=overlap)
    for _ in range(2):
        with pytest.raises(PrmError, match="no proposals today"):
            segmenter(draw_blobs()[0])
