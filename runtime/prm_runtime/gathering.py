"""From frames to the evidence that instances are retrieved from: the network and the proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery, GalleryError
from prm_proposals.generator import ProposalGenerator
from prm_proposals.peaks import live_peaks
from prm_proposals.picture import Picture, ProposalError, ProposalSource
from prm_proposals.regions import RegionGraph
from prm_proposals.retrieval import Evidence
from prm_proposals.settings import RetrievalSettings
from prm_runtime.errors import PrmError
from prm_runtime.manifest import MASK_LOGITS
from prm_runtime.network import Maps, Network
from prm_runtime.region_memory import RegionMemory
from prm_runtime.timing import StageTimes

T = TypeVar("T")
Frame = NDArray[np.uint8]


class EvidenceSource:
    """Makes the evidence of frames. Several threads may ask at once.

    With ``overlap`` proposals are made in a thread of their own beside the reverse graph, superpixels first.
    Those need the frame alone and could be made beside the forward graph, but then whole frames take longer:
    the engine's threads wait for each other at every layer, and one that has to share its core holds up all.

    Args:
        network: The graphs in an engine.
        proposals: Where proposals come from.
        generator: Makes the superpixels.
        settings: Says which peaks live.
        prepare: Works out of a frame's evidence what its Peak Response Maps are not needed for.
        times: Where seconds per stage go.
        overlap: Make proposals while the network runs.

    Attributes:
        network: As given.
    """

    def __init__(
        self,
        network: Network,
        proposals: ProposalSource,
        generator: ProposalGenerator,
        settings: RetrievalSettings,
        prepare: Callable[[Evidence], Evidence],
        times: StageTimes,
        *,
        overlap: bool = False,
    ) -> None:
        self.network = network
        self._proposals = proposals
        self._generator = generator
        self._settings = settings
        self._prepare = prepare
        self._times = times
        self._threads = ThreadPoolExecutor(thread_name_prefix="proposals") if overlap else None

    def evidences(
        self,
        frames: Sequence[Frame],
        names: Sequence[str | None],
        *,
        lean: bool = False,
        memory: RegionMemory | None = None,
    ) -> Iterator[Evidence]:
        """The evidence of several frames one after the other.

        Args:
            frames: RGB, uint8 [H, W, 3] each.
            names: What files about each frame are called.
            lean: Leave superpixels and proposals out where no peak lives.
            memory: Where superpixels and proposals of earlier frames may serve again.

        Raises:
            PrmError: If there are no usable proposals for a frame.
        """
        made: list[tuple[NDArray[np.float32], Callable[[], Evidence] | None]] = []
        with self.network.turn:
            with self._times.stage("forward"):
                found = self.network.respond(frames)
            for frame, name, maps in zip(frames, names, found, strict=True):
                live = self._live(maps)
                wanted = len(live) > 0 or not lean
                evidence: Callable[[], Evidence] | None = None
                if wanted and memory is None:
                    evidence = self._start(self._gathered, frame, name, maps, live)
                with self._times.stage("back-propagation"):
                    size = (frame.shape[0], frame.shape[1])
                    prms = self.network.back_propagate(maps["peaks"][0], live, maps, size)
                if wanted and memory is not None:
                    evidence = partial(self._remembered, frame, name, maps, live, prms, memory)
                made.append((prms, evidence))
        for maps, (prms, evidence) in zip(found, made, strict=True):
            if evidence is None:
                yield _without_regions(maps, prms)
                continue
            with proposal_errors():
                without_prms = evidence()
            yield replace(without_prms, prms=prms)

    def _start(self, work: Callable[..., T], *args: object) -> Callable[[], T]:
        """What hands out the result of some work: begun in a thread, or done when it is asked for."""
        return partial(work, *args) if self._threads is None else self._threads.submit(work, *args).result

    def _live(self, maps: Maps) -> NDArray[np.int64]:
        """The live rows of a frame's peak table."""
        return live_peaks(
            maps["peaks"][0],
            maps["peak_scores"][0],
            maps["class_maps"][0],
            maps["class_scores"][0],
            self._settings,
        )

    def _gathered(self, frame: Frame, name: str | None, maps: Maps, live: NDArray[np.int64]) -> Evidence:
        """The evidence of a frame without its Peak Response Maps."""
        with self._times.stage("proposals"):
            graph = self._generator.regions(frame)
            features = {feature: maps[feature][0] for feature in self._proposals.feature_names}
            gallery = self._proposals(Picture(frame, graph, features, name))
            # what retrieval will need is made here, beside the reverse graph, rather than after it
            gallery.prepare_sums()
            graph.pooling.prepare_mass(self.network.prm_size((frame.shape[0], frame.shape[1])))
            return self._prepared(maps, live, graph, gallery)

    def _remembered(
        self,
        frame: Frame,
        name: str | None,
        maps: Maps,
        live: NDArray[np.int64],
        prms: NDArray[np.float32],
        memory: RegionMemory,
    ) -> Evidence:
        recalled = memory.recall(frame, prms)
        if recalled is not None:
            return self._prepared(maps, live, *recalled)
        evidence = self._gathered(frame, name, maps, live)
        memory.keep(frame, evidence.graph, evidence.gallery)
        return evidence

    def _prepared(
        self, maps: Maps, live: NDArray[np.int64], graph: RegionGraph, gallery: Gallery
    ) -> Evidence:
        evidence = Evidence(
            class_maps=maps["class_maps"][0],
            class_scores=maps["class_scores"][0],
            peaks=maps["peaks"][0][live],
            peak_scores=maps["peak_scores"][0][live],
            prms=np.zeros((0, 0, 0), np.float32),
            graph=graph,
            gallery=gallery,
            mask_logits=graph.pooling.means(maps[MASK_LOGITS][0]) if MASK_LOGITS in maps else None,
        )
        return self._prepare(evidence) if len(live) else evidence


def _without_regions(maps: Maps, prms: NDArray[np.float32]) -> Evidence:
    """The evidence of a frame without live peaks."""
    graph, gallery = _nowhere()
    no_peaks, nothing = np.zeros((0, 3), np.int64), np.zeros(0, np.float32)
    return Evidence(maps["class_maps"][0], maps["class_scores"][0], no_peaks, nothing, prms, graph, gallery)


@cache
def _nowhere() -> tuple[RegionGraph, Gallery]:
    """One superpixel and no proposal."""
    labels, nothing = np.zeros((1, 1), np.int32), np.zeros(0, np.float32)
    no_edges, black = np.zeros((0, 2), np.int32), np.zeros((1, 3), np.float32)
    graph = RegionGraph(labels, np.ones(1, np.float32), no_edges, nothing, nothing, black)
    return graph, Gallery(labels, np.zeros((0, 1), np.bool_))


@contextmanager
def proposal_errors() -> Iterator[None]:
    """What proposals cannot be made from is the user's to mend."""
    try:
        yield
    except (ProposalError, GalleryError) as error:
        raise PrmError(str(error)) from error
