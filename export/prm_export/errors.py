"""The error of everything that can go wrong between a checkpoint and a bundle."""

from __future__ import annotations

from prm_runtime.console import PrmError


class ExportError(PrmError):
    """A network that cannot be exported, or an export that did not verify."""
