"""The error of every part of a bundle that cannot be read."""

from __future__ import annotations


class MalformedError(ValueError):
    """What was expected, what was found and what to do; whoever reads the bundle adds the file's name."""
