"""Algorithm 1 of the paper: from a frame to instances."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import GalleryError
from prm_proposals.generator import ProposalGenerator
from prm_proposals.maps import cell_centres
from prm_proposals.peaks import live_peaks
from prm_proposals.picture import Picture, ProposalError, ProposalSource
from prm_proposals.pooling import pool_features
from prm_proposals.retrieval import Evidence, create_retrieval, probability
from prm_proposals.settings import RetrievalSettings
from prm_proposals.sources import DEFAULT, create_source
from prm_runtime.backends import Backend, create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.classes import class_indices
from prm_runtime.console import PrmError
from prm_runtime.instances import Instances, mask_boxes
from prm_runtime.manifest import MASK_LOGITS
from prm_runtime.network import Maps, Network
from prm_runtime.timing import StageTimes


class Segmenter:
    """Finds instances in frames. Frames are independent: equal frames give equal results.

    Attributes:
        classes: Names of the classes.
        settings: Thresholds and parameters of the retrieval.
        backend: The inference engine.
        batch: Frames that the network takes at once; :meth:`many` makes use of it.
        times: Seconds per stage, added up over all frames.

    Example:
        >>> segmenter = Segmenter.open()
        >>> instances = segmenter(frame)  # uint8 RGB [H, W, 3]
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
        self._manifest = manifest
        self._generator = (
            proposals if isinstance(proposals, ProposalGenerator) else ProposalGenerator(manifest.proposals)
        )
        self._proposals = proposals or self._generator
        self._features = self._proposals.feature_names
        self._network = Network(bundle, backend, self._features, fused=fused)
        self.batch = self._network.batch
        self._retrieval = create_retrieval(self.settings)

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
        require_signature: str | os.PathLike[str] | None = None,
    ) -> Segmenter:
        """Open a bundle.

        Args:
            path: The bundle; the shipped one if None.
            backend: A key of :data:`~prm_runtime.backends.BACKENDS`, such as ``"onnxruntime"``.
            threads: CPU threads of the engine; None leaves the choice to it.
            retrieval: Another retrieval method than the bundle's, or complete settings.
            proposals: Where proposals come from, or its name, see
                :func:`~prm_proposals.sources.create_source`.
            min_score: See :class:`Segmenter`.
            classes: See :class:`Segmenter`.
            fused: See :class:`Segmenter`.
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
        engine = create_backend(backend, threads)
        if isinstance(proposals, str):
            with _errors_for_people():
                proposals = create_source(proposals, bundle.manifest.proposals, threads)
        return cls(
            bundle,
            engine,
            settings,
            proposals=proposals,
            min_score=min_score,
            classes=classes,
            fused=fused,
        )

    def __call__(self, frame: NDArray[np.uint8], name: str | None = None) -> Instances:
        """Find the instances in one frame.

        Args:
            frame: RGB (not OpenCV's BGR), uint8 [H, W, 3], any size.
            name: What files about this frame are called; only galleries from a folder need it.

        Raises:
            PrmError: If ``frame`` is not such an array, or there are no usable proposals for it.
        """
        return self.retrieve(self.evidence(frame, name), (frame.shape[0], frame.shape[1]))

    def many(
        self, frames: Sequence[NDArray[np.uint8]], names: Sequence[str] | None = None
    ) -> list[Instances]:
        """Find the instances in several frames: as one by one, but the network runs on batches.

        Args:
            frames: As for a call with one frame; those that become images of one size share a batch.
            names: What files about each frame are called.

        Raises:
            PrmError: As for one frame.
        """
        return [
            self.retrieve(evidence, (frame.shape[0], frame.shape[1]))
            for frame, evidence in zip(frames, self.evidences(frames, names), strict=True)
        ]

    def evidences(
        self, frames: Sequence[NDArray[np.uint8]], names: Sequence[str] | None = None
    ) -> Iterator[Evidence]:
        """The evidence of several frames one after the other, as :meth:`many` gathers it.

        Raises:
            PrmError: As for one frame.
        """
        called: Sequence[str | None] = names or [None] * len(frames)
        for frame, name, maps in zip(frames, called, self._respond(frames), strict=True):
            yield self._gather(frame, name, maps)

    def responses(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Class response maps M, float32 [C, h, w], and class scores s (Eq. 2), float32 [C], of a frame."""
        (maps,) = self._respond([frame])
        return maps["class_maps"][0], maps["class_scores"][0]

    def evidence(self, frame: NDArray[np.uint8], name: str | None = None) -> Evidence:
        """Everything that the instances of a frame are retrieved from: peaks, their PRMs and proposals."""
        (maps,) = self._respond([frame])
        return self._gather(frame, name, maps)

    def _respond(self, frames: Sequence[NDArray[np.uint8]]) -> list[Maps]:
        with self.times.stage("forward"):
            return self._network.respond(frames)

    def _gather(self, frame: NDArray[np.uint8], name: str | None, maps: Maps) -> Evidence:
        """The evidence of a frame from the network's outputs for it."""
        class_maps, class_scores = maps["class_maps"][0], maps["class_scores"][0]
        peaks, peak_scores = maps["peaks"][0], maps["peak_scores"][0]
        live = live_peaks(peaks, peak_scores, class_maps, class_scores, self.settings)
        with self.times.stage("back-propagation"):
            prms = self._network.back_propagate(peaks, live, maps, (frame.shape[0], frame.shape[1]))
        with self.times.stage("proposals"), _errors_for_people():
            graph = self._generator.regions(frame)
            features = {feature: maps[feature][0] for feature in self._features}
            gallery = self._proposals(Picture(frame, graph, features, name))
        mask_logits = None
        if self._manifest.has_mask_head:
            with self.times.stage("retrieval"):
                mask_logits = pool_features(maps[MASK_LOGITS][0], graph.labels, graph.count)
        return Evidence(
            class_maps, class_scores, peaks[live], peak_scores[live], prms, graph, gallery, mask_logits
        )

    def retrieve(self, evidence: Evidence, frame_size: tuple[int, int]) -> Instances:
        """Retrieve the instances from the evidence of a frame of ``frame_size`` (height, width) pixels."""
        with self.times.stage("retrieval"):
            found = self._retrieval(evidence)
            scores = probability(found.scores, self.settings)
            keep = scores >= self._min_score
            if self._wanted is not None:
                keep &= np.isin(found.class_ids, self._wanted)
            masks = frame_masks(found.members[keep], evidence.graph.labels, frame_size)
            cells = evidence.peaks[found.peak_indices[keep], 1:]
            grid = (evidence.class_maps.shape[1], evidence.class_maps.shape[2])
            peaks = cell_centres(cells, grid, frame_size, self.settings.map_shift).astype(np.float32)
            prms = found.instance_prms(evidence.prms, self.settings.merge_prms)[keep]
            seen = masks.any(axis=(1, 2))
            return Instances(
                classes=self.classes,
                class_ids=found.class_ids[keep][seen],
                scores=scores[keep][seen],
                peaks=peaks[seen],
                boxes=mask_boxes(masks[seen]),
                masks=masks[seen],
                prms=prms[seen],
            )


def frame_masks(
    members: NDArray[np.bool_], labels: NDArray[np.int32], frame_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Masks in frame resolution of unions of superpixels, with smooth edges.

    Args:
        members: Superpixels of each instance, bool [n, K].
        labels: Superpixel of each pixel of the label grid, int32 [h, w].
        frame_size: (H, W).

    Returns:
        bool [n, H, W]: the 0/1 mask, interpolated bilinearly and cut at 0.5.
    """
    height, width = frame_size
    masks = np.empty((len(members), height, width), np.bool_)
    for mask, union in zip(masks, members, strict=True):
        grid = union.astype(np.uint8)[labels] * np.uint8(255)
        mask[:] = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR) > 127
    return masks


@contextmanager
def _errors_for_people() -> Iterator[None]:
    """What proposals cannot be made from is the user's to mend."""
    try:
        yield
    except (ProposalError, GalleryError) as error:
        raise PrmError(str(error)) from error
