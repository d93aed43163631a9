"""A random walk on the superpixels of one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prm_proposals.laplacian import Factors, factorise
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import WalkSettings


@dataclass(frozen=True)
class RandomWalk:
    """Spreads priors over superpixels: solves ``(diag(u) + D − W) F = diag(u) Y`` for F.

    ``w_ij = border length · exp(−boundary / boundary_scale) · exp(−‖Δ Lab‖ / lab_scale)``,
    ``u_i = restart · pixels``. F_i is the prior at which a walker that starts in superpixel i gives up. The
    system depends on the picture alone; it is factorised once for all priors.
    """

    factors: Factors
    restart: NDArray[np.float64]

    @classmethod
    def on(cls, graph: RegionGraph, settings: WalkSettings) -> RandomWalk:
        """The walk on superpixels and their borders, with ``settings``' scales and ``restart``."""
        i, j = graph.edges.T
        colour = np.sqrt(((graph.lab[i] - graph.lab[j]) ** 2).sum(axis=1))
        connection = graph.border.astype(np.float64) * np.exp(
            -graph.boundary / settings.boundary_scale - colour / settings.lab_scale
        )
        restart = settings.restart * graph.sizes.astype(np.float64)
        return cls(factorise(graph.edges, connection, restart), restart)

    def spread(self, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """F of a prior Y, both float64 [K, n]."""
        return self.factors.solve(self.restart[:, None] * prior)
