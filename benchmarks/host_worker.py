"""One side of :mod:`benchmarks.host`: times the host's stages on the frames that it is told to take.

A process of its own, so that two revisions can take turns; it uses only what both of them have. One line in
(the number of a frame) gives one line out (CPU milliseconds of this thread by stage, as JSON).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import thread_time

import numpy as np

from prm_proposals import Gallery, Picture, ProposalGenerator, create_retrieval
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.preprocess import preprocess
from prm_runtime.segmenter import Segmenter

STAGES = ("preprocess", "superpixels", "proposals", "retrieval")


class Recorder(ProposalGenerator):
    """The generator, which also keeps what it was given."""

    picture: Picture

    def __call__(self, picture: Picture) -> Gallery:
        """Proposals for ``picture``."""
        self.picture = picture
        return super().__call__(picture)


def main(frames: Path, results: Path, proposals: int) -> None:
    """Serve until the input ends; then write the masks of all frames to ``results``."""
    manifest = Bundle.open(shipped_bundle()).manifest
    settings = type(manifest.proposals)(**{**vars(manifest.proposals), "max_proposals": proposals})
    generator, retrieval = Recorder(settings), create_retrieval(manifest.retrieval)
    segmenter = Segmenter.open(threads=2, proposals=generator)
    pictures = np.load(frames)
    masks: dict[str, np.ndarray] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        picture = pictures[f"arr_{int(line)}"]
        evidence = segmenter.evidence(picture)
        given = generator.picture
        marks = [thread_time()]

        def mark(marks: list[float] = marks) -> None:
            marks.append(thread_time())

        preprocess(picture, manifest.preprocessing)
        mark()
        graph = generator.regions(picture)
        mark()
        generator.propose(graph, given.features)
        mark()
        retrieval(evidence)
        mark()
        retrieval(evidence)
        mark()
        instances = segmenter.retrieve(evidence, (picture.shape[0], picture.shape[1]))
        mark()
        spent = 1000 * np.diff(marks)
        stages = dict(zip(STAGES, spent[:4].tolist(), strict=True))
        stages["masks"] = float(spent[5] - spent[4])  # it retrieves again before it draws
        masks[f"masks_{int(line)}"] = instances.masks
        masks[f"classes_{int(line)}"] = instances.class_ids
        print(json.dumps(stages), flush=True)
    np.savez_compressed(results, **masks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
