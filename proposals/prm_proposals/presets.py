"""Proposal settings that were measured to work; `docs/proposals.md` holds the figures."""

from __future__ import annotations

from collections.abc import Collection

from prm_proposals.settings import ProposalSettings, TreeSettings

NO_NETWORK = ProposalSettings()
"""Trees from boundaries and colour alone: need no network features."""

LIVE = ProposalSettings(
    trees=(
        TreeSettings(boundary=0.2, features=("block4", "block10", "block15")),
        TreeSettings(boundary=0.2, features=("block10", "block14")),
    )
)
"""Trees over the block outputs of an EfficientNet-Lite0, which its forward graph hands out for nothing."""


def for_taps(taps: Collection[str]) -> ProposalSettings:
    """The best preset for a network that offers the feature maps ``taps``.

    Example:
        >>> for_taps(["block4", "block10", "block14", "block15"]) is LIVE
        True
        >>> for_taps([]) is NO_NETWORK
        True
    """
    needed = {name for tree in LIVE.trees for name in tree.features}
    return LIVE if needed <= set(taps) else NO_NETWORK
