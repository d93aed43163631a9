"""What is used again from frame to frame; by default nothing is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReuseSettings:
    """Switches and limits of :class:`~prm_runtime.reuse.analysis.Reuse`.

    Attributes:
        carry_proposals: Carry superpixels and proposals over where a frame is still.
        refresh: Run the network on every n-th frame and let masks follow the picture in between.
        changed_levels: Grey levels from which on a pixel has changed since the proposals were made.
        max_changed: Largest share of changed pixels that proposals are carried over with.
        max_prm_changed: Largest share of any Peak Response Map that may lie on changed pixels.
        unexplained_levels: Grey levels that a pixel may differ from where optical flow says it was before.
        max_unexplained: Share of pixels that differ more, from which on the network runs at once: a cut, or
            something that came into the picture.
    """

    carry_proposals: bool = False
    refresh: int = 1
    changed_levels: int = 12
    max_changed: float = 0.2
    max_prm_changed: float = 0.02
    unexplained_levels: int = 24
    max_unexplained: float = 0.1

    @property
    def is_on(self) -> bool:
        """Whether anything is used again."""
        return self.carry_proposals or self.refresh > 1
