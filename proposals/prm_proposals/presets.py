"""Proposal settings that were measured to work; `docs/proposals.md` holds the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain

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

OFFLINE = replace(
    LIVE,
    long_side=448,
    max_proposals=3000,
    trees=(
        *LIVE.trees,
        TreeSettings(boundary=0.2, features=("block4", "block14")),
        TreeSettings(boundary=0.7, lab=0.1),
    ),
)
"""More trees of more colours and features on a finer grid, where a picture may take three times as long."""


FEWEST_TAPS = 3
"""Strides 8, 16 and 32."""


def for_taps(taps: Iterable[str]) -> ProposalSettings:
    """The preset for live pictures of a network that offers the feature maps ``taps``, the finest first.

    That is ``LIVE`` with the network's own features at the strides of an EfficientNet-Lite0's.

    Example:
        >>> for_taps(["block4", "block10", "block14", "block15"]) == LIVE
        True
        >>> for_taps([]) is NO_NETWORK
        True
    """
    names = tuple(taps)
    if len(names) < FEWEST_TAPS:
        return NO_NETWORK
    fine, middle, coarse, coarsest = (*names[:3], names[-1])
    return _renamed(LIVE, {"block4": fine, "block10": middle, "block14": coarse, "block15": coarsest})


def for_network_of(settings: ProposalSettings, preset: ProposalSettings) -> ProposalSettings:
    """A preset with the feature maps of the network that ``settings`` were made for.

    Args:
        settings: Trees that begin as those of ``LIVE``, as :func:`for_taps` makes them; the network of any
            others is taken for an EfficientNet-Lite0.
        preset: ``LIVE`` or ``OFFLINE``, whose features are an EfficientNet-Lite0's.

    Example:
        >>> lite2 = for_taps(["block6", "block14", "block19", "block20"])
        >>> for_network_of(lite2, OFFLINE).trees[2].features
        ('block6', 'block19')
    """
    own, live = ([tree.features for tree in each.trees[: len(LIVE.trees)]] for each in (settings, LIVE))
    if list(map(len, own)) != list(map(len, live)):
        return preset
    return _renamed(preset, dict(zip(chain(*live), chain(*own), strict=True)))


def _renamed(preset: ProposalSettings, names: Mapping[str, str]) -> ProposalSettings:
    trees = (replace(tree, features=tuple(names[name] for name in tree.features)) for tree in preset.trees)
    return replace(preset, trees=tuple(trees))
