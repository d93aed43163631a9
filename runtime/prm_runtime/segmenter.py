"""Algorithm 1 of the paper: from a frame to instances."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from prm_proposals.evidence import positions
from prm_proposals.generator import ProposalGenerator
from prm_proposals.picture import ProposalSource
from prm_proposals.retrieval import Evidence, create_retrieval, probability
from prm_proposals.settings import RetrievalSettings
from prm_proposals.sources import DEFAULT, create_source
from prm_runtime.backends import AUTO, Backend, create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.classes import class_indices
from prm_runtime.errors import PrmError
from prm_runtime.gathering import EvidenceSource, proposal_errors
from prm_runtime.host_frame import FrameLike, FrameT, HostFrames
from prm_runtime.instances import Instances
from prm_runtime.kernels import load_kernels
from prm_runtime.masks import check_room, masks_and_boxes
from prm_runtime.network import Network
from prm_runtime.region_memory import RegionMemory
from prm_runtime.timing import StageTimes


class Segmenter:
    """Finds instances in frames. Frames are independent: equal frames give equal results.

    Several threads may call one segmenter at once. On backends that say so (``backend.concurrent``) their
    frames run side by side; on the others the network takes them in turn, and the rest of the work runs side
    by side. A proposal source of your own has to be safe to call from several threads, as all of ours are.
    Nothing is shared between segmenters.

    A segmenter is a context manager; leaving it, or :meth:`close`, gives back the engine's memory.

    Attributes:
        classes: Names of the classes.
        settings: Thresholds and parameters of the retrieval.
        backend: The inference engine.
        batch: Frames that the network takes at once; :meth:`many` makes use of it.
        overlap: Whether proposals are made beside the network, in another thread.
        times: Seconds per stage, added up over all frames.

    Example:
        >>> with Segmenter.open() as segmenter:
        ...     instances = segmenter(frame)  # uint8 RGB [H, W, 3]
        >>> instances.labels
        ['dog', 'person']
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        settings: RetrievalSettings | None = None,
        *,
        proposals: ProposalSource | None = None,
        min_score: float = 0.0,
        classes: Sequence[str] | None = None,
        fused: bool = False,
        overlap: bool = False,
    ) -> None:
        """Compile the graphs of a bundle; :meth:`open` is the short way.

        Args:
            bundle: The model.
            backend: The engine to run it on.
            settings: Retrieval settings; the bundle's own if None.
            proposals: Where proposals come from; the generator with the bundle's settings if None. The
                superpixels are a generator's own, and the bundle's with any other source.
            min_score: Smallest score of a returned instance. The default keeps whatever the retrieval
                settings let through, which is what average precision wants.
            classes: Names of the classes to return; all if None.
            fused: Run the bundle's fused graph: one call for everything, but all rows of the peak table are
                back-propagated, on every frame.
            overlap: Make proposals in another thread while the network runs; results are the same.

        Raises:
            PrmError: If ``classes`` names an unknown class, the graphs lack an output that is needed, or
                ``fused`` asks for a graph that the bundle does not have.
        """
        manifest = bundle.manifest
        self.classes = manifest.classes
        self.settings = settings or manifest.retrieval
        self.backend = backend
        self.times = StageTimes()
        self._min_score = min_score
        self._wanted = None if classes is None else class_indices(classes, manifest.classes)
        generator = (
            proposals if isinstance(proposals, ProposalGenerator) else ProposalGenerator(manifest.proposals)
        )
        source: ProposalSource = proposals or generator
        network = Network(bundle, backend, source.feature_names, fused=fused)
        self._retrieval = create_retrieval(self.settings)
        self._evidences: EvidenceSource | None = EvidenceSource(
            network, source, generator, self.settings, self._retrieval.prepare, self.times, overlap=overlap
        )
        self._host_frame = HostFrames()
        self.overlap = overlap
        self.batch = network.batch

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        backend: str = "onnxruntime",
        *,
        threads: int | None = None,
        retrieval: Literal["eq6", "walk"] | RetrievalSettings | None = None,
        proposals: str | ProposalSource = DEFAULT,
        min_score: float = 0.0,
        classes: Sequence[str] | None = None,
        fused: bool = False,
        streams: int = 1,
        require_signature: str | os.PathLike[str] | None = None,
    ) -> Segmenter:
        """Open a bundle.

        Args:
            path: The bundle; the shipped one if None.
            backend: A key of :data:`~prm_runtime.backends.BACKENDS`, such as ``"onnxruntime"``, or
                ``"auto"``: the fastest that is installed, measured once and kept in the user's cache
                (:func:`~prm_runtime.auto.choose_backend`).
            threads: CPU threads of the engine; None leaves the choice to it. Where a frame has any other
                number than 1, proposals are made beside the network, in a thread of their own.
            retrieval: Another retrieval method than the bundle's, or complete settings.
            proposals: Where proposals come from, or its name, see
                :func:`~prm_proposals.sources.create_source`.
            min_score: See :class:`Segmenter`.
            classes: See :class:`Segmenter`.
            fused: See :class:`Segmenter`.
            streams: How many threads of yours will segment frames at once, where frames a second count and
                not how long each of them takes: ``threads`` are shared out among them.
            require_signature: File with the public key that the bundle has to be signed with, see
                :meth:`Bundle.open`.

        Raises:
            PrmError: If the bundle is unusable (:class:`~prm_runtime.bundle.BundleError`), the engine is not
                installed, a class is unknown, or the proposals are unusable.
        """
        bundle = Bundle.open(shipped_bundle() if path is None else path, require_signature=require_signature)
        settings = bundle.manifest.retrieval
        if isinstance(retrieval, RetrievalSettings):
            settings = retrieval
        elif retrieval is not None:
            settings = replace(settings, method=retrieval)
        if backend == AUTO:
            from prm_runtime.auto import choose_backend  # what only this needs takes a while to import

            backend = choose_backend(bundle, threads).backend
        load_kernels(bundle.manifest, settings)
        engine = create_backend(backend, threads, streams)
        if isinstance(proposals, str):
            with proposal_errors():
                proposals = create_source(proposals, bundle.manifest.proposals, threads)
        return cls(
            bundle,
            engine,
            settings,
            proposals=proposals,
            min_score=min_score,
            classes=classes,
            fused=fused,
            overlap=engine.threads != 1,
        )

    def close(self) -> None:
        """Let go of the engine; what other threads are running finishes, further frames are refused."""
        self._evidences = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __call__(
        self, frame: FrameLike, name: str | None = None, *, out: NDArray[np.bool_] | None = None
    ) -> Instances:
        """Find the instances in one frame.

        Args:
            frame: RGB (not OpenCV's BGR), uint8 [H, W, 3], any size, in the host's memory or a GPU's, see
                :class:`~prm_runtime.host_frame.HostFrames`.
            name: What files about this frame are called; only galleries from a folder need it.
            out: Room for masks, bool [N, H, W]: the masks of the N best instances are written there, the
                others are left out, and the ``masks`` of the result are the part of it that was written.

        Raises:
            PrmError: If ``frame`` or ``out`` is not such an array, there are no usable proposals for it, or
                the segmenter is closed.
        """
        pixels = self._host_frame(frame)
        size = (pixels.shape[0], pixels.shape[1])
        if out is not None:
            check_room(out, size)
        (evidence,) = self.evidences([pixels], None if name is None else [name], lean=True)
        return self.retrieve(evidence, size, out=out)

    def many(self, frames: Sequence[FrameLike], names: Sequence[str] | None = None) -> list[Instances]:
        """Find the instances in several frames: as one by one, but the network runs on batches.

        Args:
            frames: As for a call with one frame; those that become images of one size share a batch.
            names: What files about each frame are called.

        Raises:
            PrmError: As for one frame.
        """
        pixels = [self._host_frame(frame) for frame in frames]
        return [
            self.retrieve(evidence, (image.shape[0], image.shape[1]))
            for image, evidence in zip(pixels, self.evidences(pixels, names, lean=True), strict=True)
        ]

    def segment_stream(
        self, frames: AsyncIterable[FrameT] | Iterable[FrameT], *, ahead: int = 2
    ) -> AsyncIterator[tuple[FrameT, Instances]]:
        """Find the instances in a stream of frames without blocking the event loop.

        Args:
            frames: Frames as for a call, from an asynchronous iterator or a plain one, which is then read in
                a thread.
            ahead: Most frames that were read but not yet handed out. A source that is faster waits; one that
                must not wait, such as a camera, has to drop frames itself.

        Yields:
            Each frame with its instances, in order.

        Raises:
            PrmError: As for one frame, and if ``ahead`` is less than 1; after it the stream has ended.

        Example:
            >>> async for frame, instances in segmenter.segment_stream(camera):
            ...     print(instances.labels)
        """
        from prm_runtime.stream import segment_stream  # asyncio takes a while to import

        return segment_stream(self, frames, ahead)

    def responses(self, frame: FrameLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Class response maps M, float32 [C, h, w], and class scores s (Eq. 2), float32 [C], of a frame."""
        network = self._opened().network
        pixels = self._host_frame(frame)
        with network.turn, self.times.stage("forward"):
            (maps,) = network.respond([pixels])
            return maps["class_maps"][0], maps["class_scores"][0]

    def evidence(self, frame: FrameLike, name: str | None = None) -> Evidence:
        """Everything that the instances of a frame are retrieved from: peaks, their PRMs and proposals."""
        (evidence,) = self.evidences([frame], None if name is None else [name])
        return evidence

    def evidences(
        self,
        frames: Sequence[FrameLike],
        names: Sequence[str] | None = None,
        *,
        lean: bool = False,
        regions: RegionMemory | None = None,
    ) -> Iterator[Evidence]:
        """The evidence of several frames one after the other, as :meth:`many` gathers it.

        The network runs on all frames before the first is handed out.

        Args:
            frames: As for :meth:`many`.
            names: As for :meth:`many`.
            lean: Leave superpixels and proposals out (one superpixel, no proposal) where no peak lives: there
                is nothing to retrieve then.
            regions: Where superpixels and proposals of earlier frames may serve again.

        Raises:
            PrmError: As for one frame.
        """
        pixels = [self._host_frame(frame) for frame in frames]
        called: Sequence[str | None] = names or [None] * len(frames)
        return self._opened().evidences(pixels, called, lean=lean, memory=regions)

    def _opened(self) -> EvidenceSource:
        evidences = self._evidences  # read once: another thread may close
        if evidences is None:
            raise PrmError("the segmenter is closed; open another one with Segmenter.open")
        return evidences

    def retrieve(
        self,
        evidence: Evidence,
        frame_size: tuple[int, int],
        *,
        out: NDArray[np.bool_] | None = None,
    ) -> Instances:
        """Retrieve the instances from the evidence of a frame of ``frame_size`` (height, width) pixels.

        Args:
            evidence: What :meth:`evidence` returned.
            frame_size: Height and width of the frame.
            out: Room for masks, as for a call.
        """
        if out is not None:
            check_room(out, frame_size)
        with self.times.stage("retrieval"):
            if len(evidence.peaks) == 0:
                nothing = Instances.empty(self.classes, *frame_size, evidence.prms)
                return nothing if out is None else replace(nothing, masks=out[:0])
            found = self._retrieval(evidence)
            scores = probability(found.scores, self.settings)
            keep = scores >= self._min_score
            if self._wanted is not None:
                keep &= np.isin(found.class_ids, self._wanted)
            if out is not None:
                keep &= keep.cumsum() <= len(out)
            masks, boxes = masks_and_boxes(found.members[keep], evidence.graph.pooling, frame_size, out)
            peaks = positions(found, evidence, frame_size, self.settings.map_shift)[keep]
            prms = found.instance_prms(evidence.prms, self.settings.merge_prms)[keep]
            seen = boxes[:, 3] > 0
            if not seen.all():
                masks[: seen.sum()] = masks[seen]
            masks = masks[: seen.sum()]
            return Instances(
                classes=self.classes,
                class_ids=found.class_ids[keep][seen],
                scores=scores[keep][seen],
                peaks=peaks[seen],
                boxes=boxes[seen],
                masks=masks,
                prms=prms[seen],
            )
