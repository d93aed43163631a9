"""The graphs of a bundle in an engine: frames in, class maps, peaks and Peak Response Maps out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_runtime.backends import Backend, Graph, GraphUse
from prm_runtime.backends.base import EngineMissingError
from prm_runtime.bundle import Bundle, BundleError
from prm_runtime.errors import PrmError
from prm_runtime.manifest import PRMS, GraphSpec
from prm_runtime.preprocess import input_size, preprocess

Maps = dict[str, NDArray[Any]]
"""Outputs of the forward graph for one frame, by name."""


class Network:
    """Runs the two graphs of a bundle, or the fused one.

    Args:
        bundle: The model.
        backend: The engine to run it on.
        features: Names of the feature maps that are needed.
        fused: Run the fused graph.

    Attributes:
        batch: Frames that the forward graph takes at once.
        turn: To be held from :meth:`respond` to the last :meth:`back_propagate` on what it returned, so that
            threads take turns where the engine's memory serves one frame at a time.

    Raises:
        BundleError: If the graphs lack an output that is needed, or there is no fused graph.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        features: Sequence[str] = (),
        *,
        fused: bool = False,
    ) -> None:
        manifest = bundle.manifest
        self.batch = manifest.batch
        self.turn: AbstractContextManager[object] = nullcontext() if backend.concurrent else Lock()
        self._preprocessing = manifest.preprocessing
        self._stop_stride = manifest.peaks.stop_stride
        self._gains = [spec.name for spec in manifest.backprop.inputs if spec.name != "peaks"]
        forward = _fused_graph(bundle) if fused else manifest.forward
        passed_on = [PRMS] if fused else self._gains
        needed = ["class_maps", "class_scores", "peaks", "peak_scores", *features, *passed_on]
        _check_outputs(bundle, forward, needed)
        self._per_frame = {spec.name for spec in forward.outputs if len(spec.shape) > 1}
        use = GraphUse.of(manifest, resident=frozenset(self._gains))
        self._forward = _compile(bundle, forward.file, backend, use)
        self._backprop = None if fused else _compile(bundle, manifest.backprop.file, backend, use)

    def respond(self, frames: Sequence[NDArray[np.uint8]]) -> list[Maps]:
        """All outputs of the forward graph, for each frame as if it had been alone.

        Args:
            frames: RGB, uint8 [H, W, 3] each; neighbours that become images of one size share a batch.

        """
        found: list[Maps] = []
        groups = list(batches([preprocess(frame, self._preprocessing) for frame in frames], self.batch))
        for group in groups:
            missing = self.batch - len(group)
            images = [*group, *[group[-1]] * missing]
            outputs = self._forward.run({"image": np.concatenate(images) if len(images) > 1 else images[0]})
            if group is not groups[-1]:  # what is resident lasts until the next run
                outputs = {name: np.array(value) for name, value in outputs.items()}
            found += [self._of_frame(outputs, n) for n in range(len(group))]
        return found

    def back_propagate(
        self, peaks: NDArray[np.int64], live: NDArray[np.int64], maps: Maps, frame_size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """PRMs of some peaks; where there are none the reverse graph does not run.

        Args:
            peaks: The peak table of a frame, int64 [K, 3].
            live: Its rows to back-propagate, int64 [P].
            maps: What the forward graph said about the frame.
            frame_size: Height and width of the frame.

        Returns:
            float32 [P, h, w], each of sum 1.
        """
        if self._backprop is None:
            fused: NDArray[np.float32] = maps[PRMS][live]
            return fused
        if len(live) == 0:
            return np.zeros((0, *self.prm_size(frame_size)), np.float32)
        gains = {name: maps[name] for name in self._gains}
        return self._backprop.run({"peaks": peaks[live], **gains})[PRMS]

    def prm_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the PRMs of a frame of this height and width."""
        height, width = input_size(*frame_size, self._preprocessing)
        return height // self._stop_stride, width // self._stop_stride

    def _of_frame(self, outputs: Maps, n: int) -> Maps:
        if self.batch == 1:
            return outputs
        return {
            name: value[n : n + 1] if name in self._per_frame else value for name, value in outputs.items()
        }


def batches(images: Sequence[NDArray[Any]], size: int) -> Iterator[Sequence[NDArray[Any]]]:
    """Neighbours of one shape, at most ``size`` at a time."""
    for _, group in groupby(images, key=lambda image: image.shape):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def _compile(bundle: Bundle, file: str, backend: Backend, use: GraphUse) -> Graph:
    read = partial(bundle.read, file)
    graph = read()
    try:
        return backend.compile(graph, replace(use, reread=read))
    except EngineMissingError:
        raise
    except PrmError as error:
        raise BundleError(f"{bundle.path}: {file}: {error}; export the bundle again") from error


def _fused_graph(bundle: Bundle) -> GraphSpec:
    fused = bundle.manifest.fused
    if fused is None:
        raise BundleError(
            f"{bundle.path}: there is no fused graph in it; export it with --fused, or run the two graphs"
        )
    return fused


def _check_outputs(bundle: Bundle, graph: GraphSpec, needed: Sequence[str]) -> None:
    missing = sorted(set(needed) - {spec.name for spec in graph.outputs})
    if missing:
        lack = f"the forward graph lacks {', '.join(missing)}"
        raise BundleError(f"{bundle.path}: {lack}; export it again or take other proposals")
