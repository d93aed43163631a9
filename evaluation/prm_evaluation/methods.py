"""The retrieval methods that are measured and tuned side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.segmenter import Segmenter

Method = Literal["eq6", "walk"]
METHODS: tuple[Method, ...] = ("walk", "eq6")


def chosen_methods(choice: Method | Literal["both"]) -> tuple[Method, ...]:
    """The methods that an option ``--retrieval`` asks for."""
    return METHODS if choice == "both" else (choice,)


def open_segmenters(
    bundle: Bundle, settings: RetrievalSettings, methods: Sequence[Method], backend: str
) -> dict[str, Segmenter]:
    """One segmenter per method; they differ in nothing else, so the evidence of one serves all.

    Raises:
        PrmError: If the bundle or the engine cannot be used.
    """
    engine = create_backend(backend)
    return {method: Segmenter(bundle, engine, replace(settings, method=method)) for method in methods}
