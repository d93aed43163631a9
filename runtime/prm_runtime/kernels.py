"""The proposals' numba kernels, loaded while something else waits for the engine."""

from __future__ import annotations

from threading import Thread

import numpy as np

from prm_proposals.generator import ProposalGenerator

_SIDE = 64  # of a picture that is large enough for some superpixels


def load_kernels(generator: ProposalGenerator) -> None:
    """Load the kernels that every frame needs, in a thread that ends by itself.

    Compiling the graphs is the engine's work and leaves Python free. A frame that comes meanwhile waits for
    what it needs.
    """
    Thread(target=_propose, args=(generator,), name="load-kernels").start()


def _propose(generator: ProposalGenerator) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    features = {name: np.zeros((1, 1, 1), np.float32) for name in generator.feature_names}
    generator.propose(generator.regions(noise), features)
