"""From frames to the evidence that instances are retrieved from: the network and the proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import perf_counter
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
Timed = tuple[RegionGraph, float]
MaskLogits = NDArray[np.float32] | None
Regions = tuple[RegionGraph, Gallery, MaskLogits]
Frame = NDArray[np.uint8]


class EvidenceSource:
    """Makes the evidence of frames. Several threads may ask at once.

    With ``overlap`` proposals are made in a thread of their own while the network runs: superpixels, which
    need the frame alone, beside the forward graph, and what comes of them beside the reverse graph. The
    former begins before it is known whether a frame shows anything, and only if the frame before it did.

    Args:
        network: The graphs in an engine.
        proposals: Where proposals come from.
        generator: Makes the superpixels.
        settings: Says which peaks live.
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
        times: StageTimes,
        *,
        overlap: bool = False,
    ) -> None:
        self.network = network
        self._proposals = proposals
        self._generator = generator
        self._settings = settings
        self._times = times
        self._threads = ThreadPoolExecutor(thread_name_prefix="proposals") if overlap else None
        self._had_peaks = False

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
        ahead = self._threads is not None and self._had_peaks and memory is None
        superpixels = [self._start(self._superpixels, frame) if ahead else None for frame in frames]
        made: list[tuple[NDArray[np.int64], NDArray[np.float32], Callable[[], Regions] | None]] = []
        with self.network.turn:
            with self._times.stage("forward"):
                found = self.network.respond(frames)
            for frame, name, maps, begun in zip(frames, names, found, superpixels, strict=True):
                live = self._live(maps)
                self._had_peaks = len(live) > 0
                wanted = len(live) > 0 or not lean
                begun = begun or partial(self._superpixels, frame)
                regions: Callable[[], Regions] | None = None
                if wanted and memory is None:
                    regions = self._start(self._regions, frame, name, maps, begun)
                with self._times.stage("back-propagation"):
                    size = (frame.shape[0], frame.shape[1])
                    prms = self.network.back_propagate(maps["peaks"][0], live, maps, size)
                if wanted and memory is not None:
                    regions = partial(self._remembered, frame, name, maps, prms, memory)
                made.append((live, prms, regions))
        for maps, (live, prms, regions) in zip(found, made, strict=True):
            if regions is None:
                yield _without_regions(maps, prms)
                continue
            with proposal_errors():
                graph, gallery, mask_logits = regions()
            yield Evidence(
                maps["class_maps"][0],
                maps["class_scores"][0],
                maps["peaks"][0][live],
                maps["peak_scores"][0][live],
                prms,
                graph,
                gallery,
                mask_logits,
            )

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

    def _superpixels(self, frame: Frame) -> Timed:
        """The superpixels of a frame and the seconds they took."""
        start = perf_counter()
        return self._generator.regions(frame), perf_counter() - start

    def _regions(
        self, frame: Frame, name: str | None, maps: Maps, superpixels: Callable[[], Timed]
    ) -> Regions:
        graph, seconds = superpixels()
        start = perf_counter()
        features = {feature: maps[feature][0] for feature in self._proposals.feature_names}
        gallery = self._proposals(Picture(frame, graph, features, name))
        # what retrieval will need is made here, beside the reverse graph, rather than after it
        gallery.prepare_sums()
        graph.pooling.prepare_mass(self.network.prm_size((frame.shape[0], frame.shape[1])))
        self._times.add("proposals", seconds + perf_counter() - start)
        return graph, gallery, _mask_logits(maps, graph)

    def _remembered(
        self,
        frame: Frame,
        name: str | None,
        maps: Maps,
        prms: NDArray[np.float32],
        memory: RegionMemory,
    ) -> Regions:
        recalled = memory.recall(frame, prms)
        if recalled is not None:
            return *recalled, _mask_logits(maps, recalled[0])
        regions = self._regions(frame, name, maps, partial(self._superpixels, frame))
        memory.keep(frame, *regions[:2])
        return regions


def _mask_logits(maps: Maps, graph: RegionGraph) -> MaskLogits:
    """What a mask head says each superpixel shows, float32 [K, 1 + C]; None without one."""
    return graph.pooling.means(maps[MASK_LOGITS][0]) if MASK_LOGITS in maps else None


def _without_regions(maps: Maps, prms: NDArray[np.float32]) -> Evidence:
    """The evidence of a frame without live peaks."""
    labels = np.zeros((1, 1), np.int32)
    nothing = np.zeros(0, np.float32)
    graph = RegionGraph(
        labels,
        np.ones(1, np.float32),
        np.zeros((0, 2), np.int32),
        nothing,
        nothing,
        np.zeros((1, 3), np.float32),
    )
    no_peaks, gallery = np.zeros((0, 3), np.int64), Gallery(labels, np.zeros((0, 1), np.bool_))
    return Evidence(maps["class_maps"][0], maps["class_scores"][0], no_peaks, nothing, prms, graph, gallery)


@contextmanager
def proposal_errors() -> Iterator[None]:
    """What proposals cannot be made from is the user's to mend."""
    try:
        yield
    except (ProposalError, GalleryError) as error:
        raise PrmError(str(error)) from error
