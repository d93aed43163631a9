"""Names of feature taps: what a graph calls the output of a backbone's block."""

from __future__ import annotations


def tap_name(block: int) -> str:
    """The name of the tap on the block of this index."""
    return f"block{block}"


def tap_block(name: str) -> int:
    """The index of the block that the tap of this name is on."""
    return int(name.removeprefix("block"))
